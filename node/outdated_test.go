package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
)

// A follower refuses entries, as it lacks what comes before, and is sent a snapshot. The network repeats that refusal when the follower has the
// snapshot: it is not sent another one.
func TestTransfer_ALateRefusalAsksForNoSecondSnapshot(t *testing.T) {
	c := newCluster(t, 3, keepLittle)
	l, f := c.elect(1), c.seat(3)
	f.cut = true
	for range 100 {
		l.apply(put("a", 0))
	}
	c.run(AwaitedTicks * tick)
	l.apply(put("a", 0))
	c.run(time.Second)
	var refusal []byte
	c.lose = func(from, _ port.MemberID, payload []byte) bool {
		msg := &raftpb.Message{}
		if from == f.id && payload[0] == kindRaft && proto.Unmarshal(payload[1:], msg) == nil && msg.GetType() == raftpb.MsgAppResp && msg.GetReject() {
			refusal = slices.Clone(payload)
		}
		return false
	}
	snapshots := 0
	c.tell = func(m *seat, line string) {
		switch {
		case m == l && strings.HasSuffix(line, "a snapshot") && strings.HasPrefix(line, "sends"):
			snapshots++
		case m == l && strings.HasPrefix(line, "hears that"):
			for range 3 {
				c.deliver(f.id, l.id, refusal)
			}
		}
	}
	f.cut = false
	c.until("the follower is level", level(l, f))
	c.run(5 * time.Second)
	if snapshots != 1 || refusal == nil {
		t.Errorf("%d snapshots were sent, refused: %v", snapshots, refusal != nil)
	}
	l.apply(put("b", 0))
	c.until("the follower goes on", level(l, f))
}
