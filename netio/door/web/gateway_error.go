package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// failure is the body of an error. Gateways of different ages wrote different fields, and clients of different ages read them:
// `error` and `grpc_code` are of etcd up to 3.5, `code` of all, `message` and `details` of etcd since 3.6.
type failure struct {
	Error    string            `json:"error"`
	GRPCCode codes.Code        `json:"grpc_code"`
	Code     codes.Code        `json:"code"`
	Message  string            `json:"message"`
	Details  []json.RawMessage `json:"details"`
}

// streamFailure is the error with which a stream ends, of both ages too: `grpc_code`, `http_code` and `http_status` are the older ones.
type streamFailure struct {
	GRPCCode   codes.Code        `json:"grpc_code"`
	HTTPCode   int               `json:"http_code"`
	Message    string            `json:"message"`
	HTTPStatus string            `json:"http_status"`
	Code       codes.Code        `json:"code"`
	Details    []json.RawMessage `json:"details"`
}

// writeError answers a request that failed, in the gateway or behind it.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	code := 0
	var custom *runtime.HTTPStatusError
	if errors.As(err, &custom) {
		err, code = custom.Err, custom.HTTPStatus
	}
	s := reason(r.Context(), err)
	if code == 0 {
		code = runtime.HTTPStatusFromCode(s.Code())
	}
	// The struct holds nothing that can't be encoded; detail texts are JSON already.
	body, _ := encodeJSON(failure{Error: s.Message(), GRPCCode: s.Code(), Code: s.Code(), Message: s.Message(), Details: details(s)})
	w.Header().Del("Trailer")
	w.Header().Del("Transfer-Encoding")
	w.Header().Set("Content-Type", "application/json")
	if s.Code() == codes.Unauthenticated {
		w.Header().Set("WWW-Authenticate", s.Message())
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// streamError is with what a stream ends.
func streamError(ctx context.Context, err error) *status.Status { return reason(ctx, err) }

// reason is err, or why the gateway itself gave the request up.
func reason(ctx context.Context, err error) *status.Status {
	if s := failed(ctx); s != nil {
		return s
	}
	return status.Convert(err)
}

// streamFailureLine is the last line of a stream that failed.
func streamFailureLine(s *status.Status) ([]byte, error) {
	code := runtime.HTTPStatusFromCode(s.Code())
	body, err := encodeJSON(map[string]streamFailure{"error": {
		GRPCCode: s.Code(), HTTPCode: code, Message: s.Message(), HTTPStatus: http.StatusText(code), Code: s.Code(), Details: details(s),
	}})
	return append(body, '\n'), err
}

// details are never null: etcd's errors have none, and show an empty list.
func details(s *status.Status) []json.RawMessage {
	list := []json.RawMessage{}
	for _, detail := range s.Proto().GetDetails() {
		if text, err := protojson.Marshal(detail); err == nil {
			list = append(list, text)
		}
	}
	return list
}

// encodeJSON encodes v without a newline and without HTML's escapes, which etcd's texts do not have.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
