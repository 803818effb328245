package door

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// newGateway serves the API as JSON: it turns requests into gRPC calls on a connection within the process.
func (d *Door) newGateway() (http.Handler, error) {
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return d.pipe.Dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, err
	}
	d.gateway = conn
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &jsonForm{runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		}}}),
		runtime.WithErrorHandler(writeError),
	)
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		gw.RegisterKVHandler, gw.RegisterMaintenanceHandler, gw.RegisterClusterHandler,
	} {
		if err := register(context.Background(), mux, conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return mux, nil
}

// jsonForm is the JSON of the gateway. The library puts spaces into its output by a whim of each build; here there never are any,
// as etcd wrote it for years.
type jsonForm struct{ runtime.HTTPBodyMarshaler }

// Marshal implements runtime.Marshaler.
func (j *jsonForm) Marshal(v any) ([]byte, error) {
	text, err := j.HTTPBodyMarshaler.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(text))
	if err := json.Compact(&b, text); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// failure is the body of an error: clients of different ages read different fields of it.
type failure struct {
	Error    string            `json:"error"`
	GRPCCode codes.Code        `json:"grpc_code"`
	Code     codes.Code        `json:"code"`
	Message  string            `json:"message"`
	Details  []json.RawMessage `json:"details"`
}

// writeError answers a request that failed, in the gateway or behind it.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	code := 0
	var custom *runtime.HTTPStatusError
	if errors.As(err, &custom) {
		err, code = custom.Err, custom.HTTPStatus
	}
	s := status.Convert(err)
	if code == 0 {
		code = runtime.HTTPStatusFromCode(s.Code())
	}
	f := failure{Error: s.Message(), GRPCCode: s.Code(), Code: s.Code(), Message: s.Message(), Details: []json.RawMessage{}}
	for _, detail := range s.Proto().GetDetails() {
		if text, err := protojson.Marshal(detail); err == nil {
			f.Details = append(f.Details, text)
		}
	}
	// The struct holds nothing that can't be encoded; detail texts are JSON already.
	body, _ := encodeJSON(f)
	w.Header().Del("Trailer")
	w.Header().Del("Transfer-Encoding")
	w.Header().Set("Content-Type", "application/json")
	if s.Code() == codes.Unauthenticated {
		w.Header().Set("WWW-Authenticate", s.Message())
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// encodeJSON encodes v without a newline and without HTML's escapes, which etcd's texts do not have.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
