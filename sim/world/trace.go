package world

import (
	"bufio"
	"io"
	"strconv"
	"time"
)

// Tracer writes each event and note as a line of text:
//
//	NUMBER TIME KIND HOST A B FINGERPRINT
//
// NUMBER counts events, TIME is true time in nanoseconds, A and B are what the kind says (of messages: sender and hash of
// the payload), FINGERPRINT is the rolling hash after it. Two traces of one seed are equal, or part at the first event that
// was not a function of the seed.
type Tracer struct {
	out  *bufio.Writer
	line []byte
}

// NewTracer returns a tracer that writes to out.
func NewTracer(out io.Writer) *Tracer { return &Tracer{out: bufio.NewWriterSize(out, 1<<16)} }

func (t *Tracer) record(n uint64, now int64, kind Kind, host, a, b, sum uint64) {
	l := strconv.AppendUint(t.line[:0], n, 10)
	l = strconv.AppendInt(append(l, ' '), now, 10)
	l = append(append(l, ' '), kind.String()...)
	for _, x := range [...]uint64{host, a, b, sum} {
		l = strconv.AppendUint(append(l, ' '), x, 16)
	}
	t.line = append(l, '\n')
	t.out.Write(t.line) // the error stays with the writer until Flush
}

// Say adds a line for the reader of a trace. It begins with #, and comparisons skip it.
func (t *Tracer) Say(now time.Duration, text string) {
	if t == nil {
		return
	}
	l := append(t.line[:0], "# "...)
	l = append(append(l, now.String()...), ' ')
	t.line = append(append(l, text...), '\n')
	t.out.Write(t.line) // the error stays with the writer until Flush
}

// Flush writes out what is buffered, and reports the first error of all the writing.
func (t *Tracer) Flush() error { return t.out.Flush() }
