package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/sim/world"
)

// story is what happened, for a person. A run that nobody needs to read tells none: a failing seed is simply run again.
type story struct {
	telling bool
	world   *world.World
	tracer  *world.Tracer
	lines   []line
}

type line struct {
	at    time.Duration
	event uint64
	text  string
}

// storyLinesMost bounds a story; the end of it is what counts.
const storyLinesMost = 20_000

func (s *story) say(format string, args ...any) {
	if !s.telling {
		return
	}
	text := fmt.Sprintf(format, args...)
	s.tracer.Say(s.world.Now(), text)
	if len(s.lines) >= storyLinesMost {
		s.lines = append(s.lines[:0], s.lines[storyLinesMost/2:]...)
	}
	s.lines = append(s.lines, line{s.world.Now(), s.world.Count(), text})
}

func (s *story) logLine(name string, level port.Level, msg string, kv []any) {
	if level < port.Info {
		return
	}
	var b strings.Builder
	for i := 0; i+1 < len(kv); i += 2 {
		fmt.Fprintf(&b, " %v=%v", kv[i], kv[i+1])
	}
	s.say("%s logs: %s%s", name, msg, b.String())
}

// tail returns the last lines.
func (s *story) tail(most int) string {
	lines := s.lines
	var b strings.Builder
	if len(lines) > most {
		fmt.Fprintf(&b, "  (%d earlier lines left out; all with -trace)\n", len(lines)-most)
		lines = lines[len(lines)-most:]
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "  %12.6fs %7d  %s\n", l.at.Seconds(), l.event, l.text)
	}
	return b.String()
}
