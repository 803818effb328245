package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// probe is one call over the wire, with no client library between, and what it must come to. The expectations are etcd's: each holds when the
// test runs against stock etcd.
type probe struct {
	name string
	ask  func(ctx context.Context) (any, error)
	want string // as outcome renders it
	// ours, unless empty, is what detcd says instead; docs/differences.md has the reason.
	ours string
}

// runProbes makes the calls in order. Each gets a deadline, so that one that waits for ever fails.
func runProbes(t *testing.T, probes []probe) {
	t.Helper()
	for _, p := range probes {
		ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
		got := outcome(p.ask(ctx))
		cancel()
		want := p.want
		if p.ours != "" && !stockEtcd {
			want = p.ours
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", p.name, got, want)
		}
	}
}

// outcome is an answer in one line: what was answered, or the error's code and text.
func outcome(answer any, err error) string {
	if err != nil {
		s := status.Convert(err)
		return fmt.Sprintf("%v %q", s.Code(), s.Message())
	}
	return fmt.Sprint(answer)
}

// dialRaw is a connection without etcd's client library, which would make calls again and change errors.
func dialRaw(t testing.TB, m *member) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+m.client, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestAuth_AsNeverEnabled: users can't be stored yet, so what is asked of the Auth service is answered as by an etcd that has none and whose
// authentication was never enabled.
func TestAuth_AsNeverEnabled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	auth := pb.NewAuthClient(dialRaw(t, c.members[0]))
	const (
		noUser = `FailedPrecondition "etcdserver: user name not found"`
		noRole = `FailedPrecondition "etcdserver: role name not found"`
		badKey = `InvalidArgument "etcdserver: invalid auth management"`
		notYet = `Unimplemented "detcd: this version can't store users and roles: leave authentication off, and have clients prove ` +
			`themselves by certificates (--client-cert-auth)"`
	)
	grant := func(p *authpb.Permission) func(context.Context) (any, error) {
		return func(ctx context.Context) (any, error) {
			return auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: p})
		}
	}
	runProbes(t, []probe{
		{name: "status", want: "false 1", ask: func(ctx context.Context) (any, error) {
			r, err := auth.AuthStatus(ctx, &pb.AuthStatusRequest{})
			return fmt.Sprint(r.GetEnabled(), " ", r.GetAuthRevision()), err
		}},
		{name: "users and roles", want: "[] [] true", ask: func(ctx context.Context) (any, error) {
			users, err := auth.UserList(ctx, &pb.AuthUserListRequest{})
			if err != nil {
				return nil, err
			}
			roles, err := auth.RoleList(ctx, &pb.AuthRoleListRequest{})
			return fmt.Sprint(users.GetUsers(), roles.GetRoles(), roles.GetHeader().GetRevision() > 0), err
		}},
		{name: "authenticate", want: `FailedPrecondition "etcdserver: authentication is not enabled"`, ask: func(ctx context.Context) (any, error) {
			return auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: "u", Password: "p"})
		}},
		{name: "enable", want: `FailedPrecondition "etcdserver: root user does not exist"`, ask: func(ctx context.Context) (any, error) {
			return auth.AuthEnable(ctx, &pb.AuthEnableRequest{})
		}},
		{name: "disable", want: "true", ask: func(ctx context.Context) (any, error) {
			r, err := auth.AuthDisable(ctx, &pb.AuthDisableRequest{})
			return r.GetHeader().GetRevision() > 0, err
		}},
		{name: "user get", want: noUser, ask: func(ctx context.Context) (any, error) {
			return auth.UserGet(ctx, &pb.AuthUserGetRequest{Name: "u"})
		}},
		{name: "user delete", want: noUser, ask: func(ctx context.Context) (any, error) {
			return auth.UserDelete(ctx, &pb.AuthUserDeleteRequest{Name: "u"})
		}},
		{name: "user passwd", want: noUser, ask: func(ctx context.Context) (any, error) {
			return auth.UserChangePassword(ctx, &pb.AuthUserChangePasswordRequest{Name: "u", Password: "p"})
		}},
		{name: "user grant", want: noUser, ask: func(ctx context.Context) (any, error) {
			return auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "u", Role: "r"})
		}},
		{name: "user revoke", want: noUser, ask: func(ctx context.Context) (any, error) {
			return auth.UserRevokeRole(ctx, &pb.AuthUserRevokeRoleRequest{Name: "u", Role: "r"})
		}},
		{name: "role get", want: noRole, ask: func(ctx context.Context) (any, error) {
			return auth.RoleGet(ctx, &pb.AuthRoleGetRequest{Role: "r"})
		}},
		{name: "role delete", want: noRole, ask: func(ctx context.Context) (any, error) {
			return auth.RoleDelete(ctx, &pb.AuthRoleDeleteRequest{Role: "r"})
		}},
		{name: "role revoke", want: noRole, ask: func(ctx context.Context) (any, error) {
			return auth.RoleRevokePermission(ctx, &pb.AuthRoleRevokePermissionRequest{Role: "r", Key: []byte("a")})
		}},
		{name: "grant nothing", want: `InvalidArgument "etcdserver: permission not given"`, ask: grant(nil)},
		{name: "grant no key", want: badKey, ask: grant(&authpb.Permission{RangeEnd: []byte{0}})},
		{name: "grant backwards", want: badKey, ask: grant(&authpb.Permission{Key: []byte("b"), RangeEnd: []byte("a")})},
		{name: "grant an empty range", want: badKey, ask: grant(&authpb.Permission{Key: []byte("b"), RangeEnd: []byte("b")})},
		{name: "grant a key", want: noRole, ask: grant(&authpb.Permission{Key: []byte("b")})},
		{name: "grant from a key on", want: noRole, ask: grant(&authpb.Permission{Key: []byte("b"), RangeEnd: []byte{0}})},
		{name: "add nobody", want: `InvalidArgument "etcdserver: user name is empty"`, ask: func(ctx context.Context) (any, error) {
			return auth.UserAdd(ctx, &pb.AuthUserAddRequest{Password: "p"})
		}},
		{name: "add no role", want: `InvalidArgument "etcdserver: role name is empty"`, ask: func(ctx context.Context) (any, error) {
			return auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{})
		}},
		// etcd stores these.
		{name: "add a user", want: "true", ours: notYet, ask: func(ctx context.Context) (any, error) {
			r, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "u", Password: "p"})
			return r.GetHeader() != nil, err
		}},
		{name: "add a role", want: "true", ours: notYet, ask: func(ctx context.Context) (any, error) {
			r, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "r"})
			return r.GetHeader() != nil, err
		}},
	})
}

// TestAuth_AClientWithAUserWorks: such a client asks for a token first, and goes on without one where it is told that authentication is off.
func TestAuth_AClientWithAUserWorks(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints(c.members), Username: "coredns", Password: "secret", DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
	defer cancel()
	watch := client.Watch(ctx, "a")
	if _, err := client.Put(ctx, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if r, err := client.Get(ctx, "a"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("get: %v, %v", r, err)
	}
	lease, err := client.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.KeepAliveOnce(ctx, lease.ID); err != nil {
		t.Error(err)
	}
	if r := <-watch; r.Err() != nil || len(r.Events) != 1 {
		t.Errorf("watch: %v, %v", r, r.Err())
	}
}

// TestStatus_NamesAlarms: operators and tools look at Status.errors for what is wrong with a member.
func TestStatus_NamesAlarms(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	maintenance := pb.NewMaintenanceClient(dialRaw(t, c.members[0]))
	errors := func(ctx context.Context) (any, error) {
		r, err := maintenance.Status(ctx, &pb.StatusRequest{})
		slices.Sort(r.GetErrors()) // etcd's come in any order
		return fmt.Sprintf("%q", r.GetErrors()), err
	}
	alarm := func(action pb.AlarmRequest_AlarmAction, member uint64, kind pb.AlarmType) func(context.Context) (any, error) {
		return func(ctx context.Context) (any, error) {
			_, err := maintenance.Alarm(ctx, &pb.AlarmRequest{Action: action, MemberID: member, Alarm: kind})
			return "ok", err
		}
	}
	on, off := pb.AlarmRequest_ACTIVATE, pb.AlarmRequest_DEACTIVATE
	runProbes(t, []probe{
		{name: "all well", ask: errors, want: `[]`},
		{name: "raise", ask: alarm(on, 77, pb.AlarmType_NOSPACE), want: "ok"},
		{name: "no space", ask: errors, want: `["memberID:77  alarm:NOSPACE"]`},
		{name: "raise another", ask: alarm(on, 78, pb.AlarmType_CORRUPT), want: "ok"},
		{name: "both", ask: errors, want: `["memberID:77  alarm:NOSPACE" "memberID:78  alarm:CORRUPT"]`},
		{name: "end", ask: alarm(off, 77, pb.AlarmType_NOSPACE), want: "ok"},
		{name: "one left", ask: errors, want: `["memberID:78  alarm:CORRUPT"]`},
	})
}

// TestLeaseLeases_SoonestFirst: the list is in the order in which leases will end, which renewals change.
func TestLeaseLeases_SoonestFirst(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	lease := pb.NewLeaseClient(dialRaw(t, c.members[0]))
	grant := func(id, ttl int64) func(context.Context) (any, error) {
		return func(ctx context.Context) (any, error) {
			r, err := lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
			return r.GetTTL(), err
		}
	}
	list := func(ctx context.Context) (any, error) {
		r, err := lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
		ids := []int64{}
		for _, l := range r.GetLeases() {
			ids = append(ids, l.GetID())
		}
		return ids, err
	}
	runProbes(t, []probe{
		{name: "none", ask: list, want: "[]"},
		{name: "long", ask: grant(1, 900), want: "900"},
		{name: "short", ask: grant(2, 300), want: "300"},
		{name: "between", ask: grant(3, 600), want: "600"},
		{name: "equally short, later", ask: grant(-4, 300), want: "300"},
		{name: "in order", ask: list, want: "[2 -4 3 1]"},
		{name: "renew", want: "300", ask: func(ctx context.Context) (any, error) {
			stream, err := lease.LeaseKeepAlive(ctx)
			if err != nil {
				return nil, err
			}
			if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 2}); err != nil {
				return nil, err
			}
			r, err := stream.Recv()
			return r.GetTTL(), err
		}},
		{name: "in the new order", ask: list, want: "[-4 2 3 1]"},
	})
}
