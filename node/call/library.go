package call

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// throughLibrary gives an error of KV or Lease the code that it has in the lock and election services. There etcd goes through its own client library, whose
// errors have lost their code by the time a client sees them: it is Unknown, with the same text. Clients compare either. What says that the call may be
// made again, or elsewhere, keeps its code, which etcd's loses, too: a client that tries again on Unavailable is better off.
func throughLibrary(err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.OutOfRange, codes.ResourceExhausted:
	default:
		return err
	}
	if errors.Is(err, rpctypes.ErrGRPCRequestTooManyRequests) || errors.Is(err, rpctypes.ErrGRPCNotSupportedForLearner) {
		return err
	}
	return status.Error(codes.Unknown, status.Convert(err).Message())
}
