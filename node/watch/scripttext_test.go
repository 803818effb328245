package watch_test

import (
	"fmt"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/detcd/detcd/node/watch"
)

// answerText is an answer as scripts tell it.
func answerText(m *pb.WatchResponse) string {
	id, rev := fmt.Sprint(m.WatchId), m.Header.Revision
	switch {
	case m.Created && m.Canceled:
		return fmt.Sprintf("%s refused at %d: %s", id, rev, m.CancelReason)
	case m.Created:
		return fmt.Sprintf("%s created at %d", id, rev)
	case m.Canceled && m.CompactRevision != 0:
		return fmt.Sprintf("%s ended: compacted up to %d", id, m.CompactRevision)
	case m.Canceled:
		return fmt.Sprintf("%s cancelled at %d", id, rev)
	case len(m.Events) == 0 && m.WatchId == watch.EveryWatch:
		return fmt.Sprintf("all have seen everything up to %d", rev)
	case len(m.Events) == 0:
		return fmt.Sprintf("%s has seen everything up to %d", id, rev)
	}
	events := make([]string, 0, len(m.Events))
	for _, e := range m.Events {
		events = append(events, eventText(e))
	}
	rest := ""
	if m.Fragment {
		rest = ", and a rest"
	}
	return fmt.Sprintf("%s up to %d: %s%s", id, rev, strings.Join(events, ", "), rest)
}

// eventText tells an event by its revision.
func eventText(e *mvccpb.Event) string {
	text := fmt.Sprintf("%d delete %s", e.Kv.ModRevision, keyText(e.Kv.Key))
	if e.Type == mvccpb.Event_PUT {
		text = fmt.Sprintf("%d put %s", e.Kv.ModRevision, kvText(e.Kv))
	}
	if e.PrevKv != nil {
		text += fmt.Sprintf(" (before: %d %s)", e.PrevKv.ModRevision, kvText(e.PrevKv))
	}
	return text
}

func kvText(kv *mvccpb.KeyValue) string {
	switch {
	case len(kv.Value) > 8:
		return fmt.Sprintf("%s=%d bytes", keyText(kv.Key), len(kv.Value))
	case len(kv.Value) > 0:
		return fmt.Sprintf("%s=%s", keyText(kv.Key), kv.Value)
	}
	return keyText(kv.Key)
}

func keyText(key []byte) string {
	if q := strconv.Quote(string(key)); q != `"`+string(key)+`"` || len(key) == 0 {
		return q
	}
	return string(key)
}
