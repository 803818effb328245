package services

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/detcd/detcd/netio/door/doortest"
)

func TestSlowLog_SaysHowManyItLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zap.WarnLevel)
		l := &slowLog{log: zap.New(core)}
		flood := func(n int) (taken int) {
			for i := range n {
				if l.take(time.Duration(i) * time.Millisecond) {
					taken++
				}
			}
			return taken
		}
		if got := flood(550); got != slowLines {
			t.Errorf("%d lines for 550 slow requests, want %d", got, slowLines)
		}
		time.Sleep(slowSpan + time.Second)
		synctest.Wait()
		all := lines.TakeAll()
		if len(all) != 1 || all[0].ContextMap()["left-out"] != int64(550-slowLines) || all[0].ContextMap()["slowest"] != 549*time.Millisecond {
			t.Errorf("after the span: %v", all)
		}
		// The next span begins anew, and one in which nothing was left out ends without a word.
		if got := flood(3); got != 3 {
			t.Errorf("%d lines for 3 slow requests of the next span", got)
		}
		time.Sleep(slowSpan + time.Second)
		synctest.Wait()
		// At the end nothing is forgotten.
		flood(slowLines + 5)
		l.sum()
		l.sum()
		if all := lines.TakeAll(); len(all) != 1 || all[0].ContextMap()["left-out"] != int64(5) {
			t.Errorf("at the end: %v", all)
		}
	})
}

func TestSlowRequests_AFloodOfThemMakesFewLines(t *testing.T) {
	core, lines := observer.New(zap.WarnLevel)
	d, address := openedServer(t, doortest.NewSingle(), func(c *Config) { c.Logger, c.WarnUnaryDuration = zap.New(core), time.Nanosecond })
	c := doortest.Dial(t, address)
	for range 50 {
		if _, err := c.Put(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	if err := closed(d, t.Context()); err != nil {
		t.Error(err)
	}
	if n := lines.FilterMessage("request stats").Len(); n != slowLines {
		t.Errorf("%d lines for 50 slow requests, want %d", n, slowLines)
	}
	left := lines.FilterMessage("more slow requests were not logged one by one").All()
	if len(left) != 1 || left[0].ContextMap()["left-out"] != int64(50-slowLines) {
		t.Errorf("what was left out: %v", left)
	}
}
