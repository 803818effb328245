package world

import (
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/port/porttest"
)

// listener is a member that notes what comes to it.
type listener struct{ heard []porttest.Message }

func (l *listener) Receive(from port.MemberID, payload []byte) {
	l.heard = append(l.heard, porttest.Message{From: from, Payload: payload})
}

func (l *listener) Greeted(from port.MemberID, f port.Formats) {
	l.heard = append(l.heard, porttest.Message{From: from, Formats: &f})
}

func (l *listener) EndTurn() {}

// The simulated network keeps the contract that the transport keeps.
func TestNet_Contract(t *testing.T) {
	porttest.TestNetwork(t, func(_ *testing.T, n int) porttest.Stations {
		w := New(1, nil)
		var all []*listener
		s := porttest.Stations{
			URLs:    func(port.MemberID) []string { return nil },
			Arrived: func(id port.MemberID) []porttest.Message { return all[id-1].heard },
			Advance: func() {
				for until := w.Now() + time.Millisecond; w.Step(until); {
				}
			},
		}
		for i := range n {
			h := w.AddHost(port.MemberID(i+1), 0)
			h.Begin()
			l := &listener{}
			h.Attach(l)
			all = append(all, l)
			s.Networks = append(s.Networks, h.Network())
		}
		w.Net().SetWeather(fair)
		return s
	})
}
