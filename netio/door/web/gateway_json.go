package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// jsonForm is the JSON of the gateway: names as in the protocol files, fields that are zero left out, unknown ones ignored. The library
// puts spaces into its output by a whim of each build; here there never are any, as etcd wrote it for years.
type jsonForm struct{ runtime.JSONPb }

var (
	_ runtime.Marshaler = (*jsonForm)(nil)
	_ runtime.Delimited = (*jsonForm)(nil)
)

func newJSONForm() *jsonForm {
	return &jsonForm{runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
	}}
}

// Marshal implements runtime.Marshaler. The objects of streams are given by the library as maps of one entry.
func (j *jsonForm) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case map[string]any:
		if m, ok := v["result"].(proto.Message); ok {
			return j.line(m)
		}
	case map[string]proto.Message:
		if s, ok := v["error"].(*spb.Status); ok {
			return streamFailureLine(status.FromProto(s))
		}
	}
	var b bytes.Buffer
	err := j.compact(&b, v)
	return b.Bytes(), err
}

// Delimiter implements runtime.Delimited: nothing. A line of a stream ends with a newline already, so that the two leave in one chunk: there
// are clients that take a chunk for an object.
func (*jsonForm) Delimiter() []byte { return []byte{} }

// line is one object of a stream.
func (j *jsonForm) line(m proto.Message) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"result":`)
	if err := j.compact(&b, m); err != nil {
		return nil, err
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

func (j *jsonForm) compact(b *bytes.Buffer, v any) error {
	text, err := j.JSONPb.Marshal(v)
	if err != nil {
		return err
	}
	b.Grow(len(text) + 2)
	return json.Compact(b, text)
}

// NewDecoder implements runtime.Marshaler. r is a requestBody.
func (j *jsonForm) NewDecoder(r io.Reader) runtime.Decoder {
	d := j.JSONPb.NewDecoder(r)
	body, ok := r.(*requestBody)
	if !ok {
		return d
	}
	return runtime.DecoderFunc(func(v any) error {
		body.next()
		err := d.Decode(v)
		if body.endless && err != nil && !errors.Is(err, io.EOF) {
			// The library would take this for the end of the requests and leave the client without a word.
			body.fail(status.New(codes.InvalidArgument, err.Error()))
		}
		return err
	})
}
