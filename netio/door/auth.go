package door

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/node/call"
)

// authService is the Auth service.
type authService struct {
	pb.UnimplementedAuthServer
	door *Door
}

// AuthEnable has clients prove who they are from now on.
func (a *authService) AuthEnable(ctx context.Context, r *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	return do(ctx, a.door, &call.AuthEnable, r)
}

// AuthDisable lets every client do everything.
func (a *authService) AuthDisable(ctx context.Context, r *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	return do(ctx, a.door, &call.AuthDisable, r)
}

// AuthStatus says whether authentication is on.
func (a *authService) AuthStatus(ctx context.Context, r *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	return do(ctx, a.door, &call.AuthStatus, r)
}

// Authenticate gives a user a token.
func (a *authService) Authenticate(ctx context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	return do(ctx, a.door, &call.Authenticate, r)
}

// UserAdd adds a user.
func (a *authService) UserAdd(ctx context.Context, r *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	return do(ctx, a.door, &call.UserAdd, r)
}

// UserGet says which roles a user has.
func (a *authService) UserGet(ctx context.Context, r *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	return do(ctx, a.door, &call.UserGet, r)
}

// UserList lists the users.
func (a *authService) UserList(ctx context.Context, r *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	return do(ctx, a.door, &call.UserList, r)
}

// UserDelete removes a user.
func (a *authService) UserDelete(ctx context.Context, r *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	return do(ctx, a.door, &call.UserDelete, r)
}

// UserChangePassword gives a user another password.
func (a *authService) UserChangePassword(ctx context.Context, r *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	return do(ctx, a.door, &call.UserChangePassword, r)
}

// UserGrantRole gives a user a role.
func (a *authService) UserGrantRole(ctx context.Context, r *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	return do(ctx, a.door, &call.UserGrantRole, r)
}

// UserRevokeRole takes a role from a user.
func (a *authService) UserRevokeRole(ctx context.Context, r *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	return do(ctx, a.door, &call.UserRevokeRole, r)
}

// RoleAdd adds a role.
func (a *authService) RoleAdd(ctx context.Context, r *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	return do(ctx, a.door, &call.RoleAdd, r)
}

// RoleGet says what a role may do.
func (a *authService) RoleGet(ctx context.Context, r *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	return do(ctx, a.door, &call.RoleGet, r)
}

// RoleList lists the roles.
func (a *authService) RoleList(ctx context.Context, r *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	return do(ctx, a.door, &call.RoleList, r)
}

// RoleDelete removes a role.
func (a *authService) RoleDelete(ctx context.Context, r *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	return do(ctx, a.door, &call.RoleDelete, r)
}

// RoleGrantPermission lets a role do something.
func (a *authService) RoleGrantPermission(ctx context.Context, r *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	return do(ctx, a.door, &call.RoleGrantPermission, r)
}

// RoleRevokePermission takes a permission from a role.
func (a *authService) RoleRevokePermission(ctx context.Context, r *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	return do(ctx, a.door, &call.RoleRevokePermission, r)
}
