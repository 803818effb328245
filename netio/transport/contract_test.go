package transport

import (
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/port/porttest"
)

func TestTransport_Contract(t *testing.T) {
	porttest.TestNetwork(t, func(t *testing.T, n int) porttest.Stations {
		var all []*station
		s := porttest.Stations{
			URLs: func(id port.MemberID) []string { return []string{all[id-1].url} },
			Arrived: func(id port.MemberID) (messages []porttest.Message) {
				arrived, told := all[id-1].inbox.all(), all[id-1].inbox.told()
				next := 0
				for _, a := range arrived {
					for ; next < a.before; next++ {
						messages = append(messages, porttest.Message{From: told[next].from, Formats: &told[next].formats})
					}
					messages = append(messages, porttest.Message{From: a.from, Payload: a.payload})
				}
				for ; next < len(told); next++ {
					messages = append(messages, porttest.Message{From: told[next].from, Formats: &told[next].formats})
				}
				return messages
			},
			Advance: func() { time.Sleep(time.Millisecond) },
		}
		for i := range n {
			all = append(all, open(t, port.MemberID(i+1), nil))
			s.Networks = append(s.Networks, all[i])
		}
		return s
	})
}
