package web

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	electiongw "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb/gw"
	lockgw "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// RegisterRoutes registers the routes of all services of the API, which lead to the services that conn leads to.
func RegisterRoutes(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		gw.RegisterKVHandler, gw.RegisterWatchHandler, gw.RegisterLeaseHandler, gw.RegisterMaintenanceHandler, gw.RegisterClusterHandler,
		gw.RegisterAuthHandler, lockgw.RegisterLockHandler, electiongw.RegisterElectionHandler,
	} {
		if err := register(ctx, mux, conn); err != nil {
			return err
		}
	}
	return nil
}

// newGateway serves the API as JSON under /v3/: it turns requests into gRPC calls on a connection within the process, so that nothing is
// decided twice. Streams can also be had as a websocket.
func (s *Server) newGateway() (http.Handler, error) {
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.grpc.Dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, err
	}
	s.gateway = conn
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newJSONForm()),
		// Any metadata can be set by a header Grpc-Metadata-NAME, as ever; services trust nothing in it that a client could not say itself.
		runtime.WithIncomingHeaderMatcher(runtime.LegacyHeaderMatcher),
		runtime.WithMetadata(func(_ context.Context, r *http.Request) metadata.MD { return token(r) }),
		runtime.WithErrorHandler(writeError),
		runtime.WithStreamErrorHandler(streamError),
	)
	if err := RegisterRoutes(context.Background(), mux, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s.withWebsockets(s.bounded(mux)), nil
}

// token is what a client says to be: `Authorization: TOKEN`, and `Authorization: Bearer TOKEN` as libraries write it. The library
// passes the header itself on as well; services look at this one first.
func token(r *http.Request) metadata.MD {
	t := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	for _, c := range []byte(t) {
		if c < ' ' || c > '~' { // gRPC would refuse the whole call
			return nil
		}
	}
	if t == "" {
		return nil
	}
	return metadata.Pairs(rpctypes.TokenFieldNameGRPC, t)
}

// bounded lets no client hold the member up: see requestBody.
func (s *Server) bounded(next http.Handler) http.Handler {
	limit := jsonFactor * int64(s.config.MessageBytes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, body := newRequestBody(w, r, limit)
		defer body.cancel()
		if !endless[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		body.endless = true
		if r.ProtoMajor > 1 { // requests and answers are apart from each other there
			next.ServeHTTP(w, r)
			return
		}
		answer := newDuplexAnswer(w, body)
		next.ServeHTTP(answer, r)
		answer.end()
	})
}
