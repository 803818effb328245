package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Users and roles can't be stored yet. So every member answers as an etcd whose authentication was never enabled, and that has no user and
// no role. That is all there is to know, so each member knows it without asking another one.

// errNoUsersYet is the answer to what would store a user or a role. Unimplemented: clients must neither try again nor take it for a word about
// the user's name or rights, and the JSON gateway makes 501 of it.
var errNoUsersYet = status.Error(codes.Unimplemented,
	"detcd: this version can't store users and roles: leave authentication off, and have clients prove themselves by certificates (--client-cert-auth)")

// authRevision is that of an etcd in which no user, role or permission was ever changed.
const authRevision = 1

// AuthStatus says that authentication is off (Auth.AuthStatus).
var AuthStatus = Unary[*pb.AuthStatusRequest, *pb.AuthStatusResponse]{
	Method: pb.Auth_AuthStatus_FullMethodName,
	Begin:  locally[*pb.AuthStatusRequest],
	Finish: func(_ *pb.AuthStatusRequest, o Outcome) (*pb.AuthStatusResponse, error) {
		return &pb.AuthStatusResponse{Header: headHeader(o), AuthRevision: authRevision}, nil
	},
}

// AuthDisable keeps authentication off (Auth.AuthDisable).
var AuthDisable = Unary[*pb.AuthDisableRequest, *pb.AuthDisableResponse]{
	Method: pb.Auth_AuthDisable_FullMethodName,
	Begin:  locally[*pb.AuthDisableRequest],
	Finish: func(_ *pb.AuthDisableRequest, o Outcome) (*pb.AuthDisableResponse, error) {
		return &pb.AuthDisableResponse{Header: headHeader(o)}, nil
	},
}

// UserList lists no user (Auth.UserList).
var UserList = Unary[*pb.AuthUserListRequest, *pb.AuthUserListResponse]{
	Method: pb.Auth_UserList_FullMethodName,
	Begin:  locally[*pb.AuthUserListRequest],
	Finish: func(_ *pb.AuthUserListRequest, o Outcome) (*pb.AuthUserListResponse, error) {
		return &pb.AuthUserListResponse{Header: headHeader(o)}, nil
	},
}

// RoleList lists no role (Auth.RoleList).
var RoleList = Unary[*pb.AuthRoleListRequest, *pb.AuthRoleListResponse]{
	Method: pb.Auth_RoleList_FullMethodName,
	Begin:  locally[*pb.AuthRoleListRequest],
	Finish: func(_ *pb.AuthRoleListRequest, o Outcome) (*pb.AuthRoleListResponse, error) {
		return &pb.AuthRoleListResponse{Header: headHeader(o)}, nil
	},
}

// The other calls of the Auth service are refused, as such an etcd refuses them; those that would add a user or a role, with errNoUsersYet.
var (
	// Authenticate is what a client calls that is configured with a user; such clients go on without one when they get this error.
	Authenticate = refused[*pb.AuthenticateRequest, *pb.AuthenticateResponse](pb.Auth_Authenticate_FullMethodName, rpctypes.ErrGRPCAuthNotEnabled)
	// AuthEnable needs a user called root first.
	AuthEnable = refused[*pb.AuthEnableRequest, *pb.AuthEnableResponse](pb.Auth_AuthEnable_FullMethodName, rpctypes.ErrGRPCRootUserNotExist)

	UserGet            = refused[*pb.AuthUserGetRequest, *pb.AuthUserGetResponse](pb.Auth_UserGet_FullMethodName, rpctypes.ErrGRPCUserNotFound)
	UserDelete         = refused[*pb.AuthUserDeleteRequest, *pb.AuthUserDeleteResponse](pb.Auth_UserDelete_FullMethodName, rpctypes.ErrGRPCUserNotFound)
	UserChangePassword = refused[*pb.AuthUserChangePasswordRequest, *pb.AuthUserChangePasswordResponse](pb.Auth_UserChangePassword_FullMethodName, rpctypes.ErrGRPCUserNotFound)
	UserGrantRole      = refused[*pb.AuthUserGrantRoleRequest, *pb.AuthUserGrantRoleResponse](pb.Auth_UserGrantRole_FullMethodName, rpctypes.ErrGRPCUserNotFound)
	UserRevokeRole     = refused[*pb.AuthUserRevokeRoleRequest, *pb.AuthUserRevokeRoleResponse](pb.Auth_UserRevokeRole_FullMethodName, rpctypes.ErrGRPCUserNotFound)

	RoleGet              = refused[*pb.AuthRoleGetRequest, *pb.AuthRoleGetResponse](pb.Auth_RoleGet_FullMethodName, rpctypes.ErrGRPCRoleNotFound)
	RoleDelete           = refused[*pb.AuthRoleDeleteRequest, *pb.AuthRoleDeleteResponse](pb.Auth_RoleDelete_FullMethodName, rpctypes.ErrGRPCRoleNotFound)
	RoleRevokePermission = refused[*pb.AuthRoleRevokePermissionRequest, *pb.AuthRoleRevokePermissionResponse](pb.Auth_RoleRevokePermission_FullMethodName, rpctypes.ErrGRPCRoleNotFound)
)

// UserAdd adds a user (Auth.UserAdd).
var UserAdd = Unary[*pb.AuthUserAddRequest, *pb.AuthUserAddResponse]{
	Method: pb.Auth_UserAdd_FullMethodName,
	Begin: func(_ Limits, r *pb.AuthUserAddRequest) (Step, error) {
		if r.GetName() == "" {
			return Step{}, rpctypes.ErrGRPCUserEmpty
		}
		return Step{}, errNoUsersYet
	},
}

// RoleAdd adds a role (Auth.RoleAdd).
var RoleAdd = Unary[*pb.AuthRoleAddRequest, *pb.AuthRoleAddResponse]{
	Method: pb.Auth_RoleAdd_FullMethodName,
	Begin: func(_ Limits, r *pb.AuthRoleAddRequest) (Step, error) {
		if r.GetName() == "" {
			return Step{}, rpctypes.ErrGRPCRoleEmpty
		}
		return Step{}, errNoUsersYet
	},
}

// RoleGrantPermission lets a role do something (Auth.RoleGrantPermission).
var RoleGrantPermission = Unary[*pb.AuthRoleGrantPermissionRequest, *pb.AuthRoleGrantPermissionResponse]{
	Method: pb.Auth_RoleGrantPermission_FullMethodName,
	Begin: func(_ Limits, r *pb.AuthRoleGrantPermissionRequest) (Step, error) {
		p := r.GetPerm()
		key, end := string(p.GetKey()), string(p.GetRangeEnd())
		switch {
		case p == nil:
			return Step{}, rpctypes.ErrGRPCPermissionNotGiven
		case key == "", end != "" && end != "\x00" && end <= key: // \0: no end
			return Step{}, rpctypes.ErrGRPCInvalidAuthMgmt
		}
		return Step{}, rpctypes.ErrGRPCRoleNotFound
	},
}

func locally[Req any](Limits, Req) (Step, error) { return Step{Way: Locally}, nil }

// refused is a call that always gets the same error.
func refused[Req, Resp any](method string, err error) Unary[Req, Resp] {
	return Unary[Req, Resp]{Method: method, Begin: func(Limits, Req) (Step, error) { return Step{}, err }}
}

func headHeader(o Outcome) *pb.ResponseHeader { return header(o.Status, o.View.Revision()) }
