// Package show renders what a server answered in the output formats of etcd's command-line tool: simple, json, fields, table and protobuf, to
// the byte. An Answer says how one response looks in each format; a Printer picks the format and writes it.
//
// It leaves to others to make requests and to decide on exit codes: a format that an answer does not have is ErrFormat. A Printer may be used
// by several goroutines; an answer is written in one piece.
package show

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
	"google.golang.org/protobuf/proto"
)

// Formats are the names that New knows, as --write-out takes them.
var Formats = []string{"fields", "json", "protobuf", "simple", "table"}

// ErrFormat is returned by Print for an answer that has no such form.
type ErrFormat struct{ Format string }

func (e ErrFormat) Error() string { return e.Format + " not supported as output format" }

// Answer is one response, ready to be shown in several formats. A form that is nil does not exist for the response; etcd's tool has the same
// gaps, except that protobuf is also there for leases.
type Answer struct {
	message proto.Message           // protobuf, and json unless value is set
	value   any                     // json
	hexJSON func() any              // json with --hex, where numbers then become strings
	simple  func(w *simpleWriter)   // lines for people
	fields  func(w *fieldsWriter)   // "Name" : value, a line each
	table   func() ([]string, rows) // header and rows
}

type rows = [][]string

// Options choose how answers look.
type Options struct {
	Format    string // one of Formats
	Hex       bool   // keys and values as \x00, ids in base 16
	ValueOnly bool   // simple format: values without their keys
}

// Printer writes answers to one writer.
type Printer struct {
	options Options
	mu      sync.Mutex // held while an answer is written
	out     io.Writer
}

// New returns a printer, or false if there is no such format.
func New(out io.Writer, o Options) (*Printer, bool) {
	return &Printer{out: out, options: o}, slices.Contains(Formats, o.Format)
}

// Format is the name of the format.
func (p *Printer) Format() string { return p.options.Format }

// Simple says whether the format is the one for people, to which some commands add lines.
func (p *Printer) Simple() bool { return p.options.Format == "simple" }

// Print writes an answer. Its error is an ErrFormat, and then nothing is written, or that of the writer.
func (p *Printer) Print(a Answer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bufio.NewWriterSize(p.out, 64<<10) // an answer may be larger than memory has room for twice
	if err := p.render(b, a); err != nil {
		return err
	}
	return b.Flush()
}

// Printf writes text between answers.
func (p *Printer) Printf(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintf(p.out, format, args...)
	return err
}

func (p *Printer) render(b *bufio.Writer, a Answer) error {
	switch {
	case p.options.Format == "simple" && a.simple != nil:
		a.simple(&simpleWriter{b, p.options})
	case p.options.Format == "fields" && a.fields != nil:
		a.fields(&fieldsWriter{b, p.options.Hex})
	case p.options.Format == "table" && a.table != nil:
		header, rows := a.table()
		return renderTable(b, header, rows)
	case p.options.Format == "protobuf" && a.message != nil:
		encoded, err := proto.Marshal(a.message)
		if err != nil {
			return err
		}
		_, err = b.Write(encoded)
		return err
	case p.options.Format == "json":
		return json.NewEncoder(b).Encode(a.json(p.options.Hex))
	default:
		return ErrFormat{p.options.Format}
	}
	return nil
}

// json is what encoding/json turns into etcd's JSON: its Go types rather than the canonical JSON form of protobuf, so numbers are numbers.
func (a Answer) json(hex bool) any {
	switch {
	case hex && a.hexJSON != nil:
		return a.hexJSON()
	case a.value != nil:
		return a.value
	}
	return a.message
}

// renderTable draws the table with the library that etcd's tool uses, at the version that it pins: the borders are its.
func renderTable(b *bufio.Writer, header []string, rows rows) error {
	config := tablewriter.NewConfigBuilder().WithRowAlignment(tw.AlignRight).Build()
	table := tablewriter.NewTable(b, tablewriter.WithConfig(config))
	table.Header(header)
	if err := table.Bulk(rows); err != nil {
		return err
	}
	return table.Render()
}
