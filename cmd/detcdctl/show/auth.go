package show

import (
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// messageWithHeader is any answer of the server.
type messageWithHeader interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}

// done shows that something was done: a line that says so, or the header.
func done(message messageWithHeader, format string, args ...any) Answer {
	return Answer{message: message, simple: text(format, args...), fields: headerOnly(message.GetHeader())}
}

// AuthStatus shows whether authentication is on.
func AuthStatus(r *clientv3.AuthStatusResponse) Answer {
	message := (*pb.AuthStatusResponse)(r)
	return Answer{
		message: message,
		simple:  text("Authentication Status: %t\nAuthRevision: %d", message.GetEnabled(), message.GetAuthRevision()),
	}
}

// UserAdd shows that a user was made.
func UserAdd(user string, r *clientv3.AuthUserAddResponse) Answer {
	return done((*pb.AuthUserAddResponse)(r), "User %s created", user)
}

// UserDelete shows that a user was deleted.
func UserDelete(user string, r *clientv3.AuthUserDeleteResponse) Answer {
	return done((*pb.AuthUserDeleteResponse)(r), "User %s deleted", user)
}

// UserChangePassword shows that a user has another password.
func UserChangePassword(r *clientv3.AuthUserChangePasswordResponse) Answer {
	return done((*pb.AuthUserChangePasswordResponse)(r), "Password updated")
}

// UserGrantRole shows that a user was given a role.
func UserGrantRole(user, role string, r *clientv3.AuthUserGrantRoleResponse) Answer {
	return done((*pb.AuthUserGrantRoleResponse)(r), "Role %s is granted to user %s", role, user)
}

// UserRevokeRole shows that a role was taken from a user.
func UserRevokeRole(user, role string, r *clientv3.AuthUserRevokeRoleResponse) Answer {
	return done((*pb.AuthUserRevokeRoleResponse)(r), "Role %s is revoked from user %s", role, user)
}

// UserGet shows a user's roles.
func UserGet(user string, r *clientv3.AuthUserGetResponse) Answer {
	message := (*pb.AuthUserGetResponse)(r)
	return Answer{
		message: message,
		simple: func(w *simpleWriter) {
			w.printf("User: %s\nRoles:", user)
			for _, role := range message.GetRoles() {
				w.printf(" %s", role)
			}
			w.line()
		},
	}
}

// UserList lists the users.
func UserList(r *clientv3.AuthUserListResponse) Answer {
	message := (*pb.AuthUserListResponse)(r)
	return Answer{message: message, simple: lines(message.GetUsers())}
}

// RoleAdd shows that a role was made.
func RoleAdd(role string, r *clientv3.AuthRoleAddResponse) Answer {
	return done((*pb.AuthRoleAddResponse)(r), "Role %s created", role)
}

// RoleDelete shows that a role was deleted.
func RoleDelete(role string, r *clientv3.AuthRoleDeleteResponse) Answer {
	return done((*pb.AuthRoleDeleteResponse)(r), "Role %s deleted", role)
}

// RoleGrantPermission shows that a role may do more.
func RoleGrantPermission(role string, r *clientv3.AuthRoleGrantPermissionResponse) Answer {
	return done((*pb.AuthRoleGrantPermissionResponse)(r), "Role %s updated", role)
}

// RoleRevokePermission shows that a role may do less.
func RoleRevokePermission(role, key, end string, r *clientv3.AuthRoleRevokePermissionResponse) Answer {
	what := "range " + interval(key, end)
	if end == "" {
		what = "key " + key
	}
	return done((*pb.AuthRoleRevokePermissionResponse)(r), "Permission of %s is revoked from role %s", what, role)
}

// RoleList lists the roles.
func RoleList(r *clientv3.AuthRoleListResponse) Answer {
	message := (*pb.AuthRoleListResponse)(r)
	return Answer{
		message: message,
		simple:  lines(message.GetRoles()),
		fields: func(w *fieldsWriter) {
			w.header(message.GetHeader())
			w.WriteString(`"Roles" :`)
			for _, role := range message.GetRoles() {
				fmt.Fprintf(w, " %q", role)
			}
			w.WriteByte('\n')
		},
	}
}

// RoleGet shows what a role may do.
func RoleGet(role string, r *clientv3.AuthRoleGetResponse) Answer {
	message := (*pb.AuthRoleGetResponse)(r)
	return Answer{
		message: message,
		simple: func(w *simpleWriter) {
			w.printf("Role %s\n", role)
			permissions := message.GetPerm()
			if role == "root" && permissions == nil { // root may do everything, and nothing of it is written down
				permissions = []*authpb.Permission{{PermType: authpb.Permission_READWRITE, RangeEnd: []byte{0}}}
			}
			w.line("KV Read:")
			w.permissions(permissions, authpb.Permission_READ)
			w.line("KV Write:")
			w.permissions(permissions, authpb.Permission_WRITE)
		},
		fields: func(w *fieldsWriter) {
			w.header(message.GetHeader())
			for _, p := range message.GetPerm() {
				w.value("PermType", " "+p.GetPermType().String())
				w.quoted("Key", p.GetKey())
				w.quoted("RangeEnd", p.GetRangeEnd())
			}
		},
	}
}

// permissions writes those that allow what kind says, alone or among others.
func (w *simpleWriter) permissions(all []*authpb.Permission, kind authpb.Permission_Type) {
	for _, p := range all {
		if !slices.Contains([]authpb.Permission_Type{kind, authpb.Permission_READWRITE}, p.GetPermType()) {
			continue
		}
		key, end := string(p.GetKey()), string(p.GetRangeEnd())
		switch {
		case end == "":
			w.printf("\t%s\n", key)
		case key != "" && clientv3.GetPrefixRangeEnd(key) == end:
			w.printf("\t%s (prefix %s)\n", interval(key, end), key)
		default:
			w.printf("\t%s\n", interval(key, end))
		}
	}
}

// interval writes a range; one up to the last key has a single zero byte for its end.
func interval(key, end string) string {
	if end == "\x00" {
		return fmt.Sprintf("[%s, <open ended>", key)
	}
	return fmt.Sprintf("[%s, %s)", key, end)
}

func lines(all []string) func(*simpleWriter) {
	return func(w *simpleWriter) {
		for _, one := range all {
			w.line(one)
		}
	}
}
