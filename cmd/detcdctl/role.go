package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) roleCommand() *cobra.Command {
	return parent("role <subcommand>", "Roles: what users may do",
		a.named("add <role name>", "Make a role", 1, "role add command requires role name as its argument",
			func(ctx context.Context, c *clientv3.Client, args []string) (show.Answer, error) {
				r, err := c.RoleAdd(ctx, args[0])
				return answerOr(r, err, func(r *clientv3.AuthRoleAddResponse) show.Answer { return show.RoleAdd(args[0], r) })
			}),
		a.named("delete <role name>", "Delete a role", 1, "role delete command requires role name as its argument",
			func(ctx context.Context, c *clientv3.Client, args []string) (show.Answer, error) {
				r, err := c.RoleDelete(ctx, args[0])
				return answerOr(r, err, func(r *clientv3.AuthRoleDeleteResponse) show.Answer { return show.RoleDelete(args[0], r) })
			}),
		a.named("get <role name>", "Show what a role allows", 1, "role get command requires role name as its argument",
			func(ctx context.Context, c *clientv3.Client, args []string) (show.Answer, error) {
				r, err := c.RoleGet(ctx, args[0])
				return answerOr(r, err, func(r *clientv3.AuthRoleGetResponse) show.Answer { return show.RoleGet(args[0], r) })
			}),
		a.named("list", "List all roles", 0, "role list command requires no arguments",
			func(ctx context.Context, c *clientv3.Client, _ []string) (show.Answer, error) {
				r, err := c.RoleList(ctx)
				return answerOr(r, err, show.RoleList)
			}),
		a.roleGrantCommand(), a.roleRevokeCommand())
}

// rangeFlags say that a permission is about more than a key.
type rangeFlags struct{ prefix, fromKey bool }

func (f *rangeFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the given one")
	fs.BoolVar(&f.fromKey, "from-key", false, "all keys from the given one on, in byte order")
}

// keys is the range of a permission: key and end, where no end means the key alone and a single zero byte no end at all.
func (f *rangeFlags) keys(args []string) (key, end string, err error) {
	key = args[0]
	switch {
	case f.prefix && f.fromKey:
		return "", "", badArgs("--from-key and --prefix flags are mutually exclusive")
	case key == "": // of all keys, the first is a zero byte
		if f.prefix || f.fromKey {
			return "\x00", "\x00", nil
		}
		return "\x00", "", nil
	case len(args) > 1 && f.prefix:
		return "", "", badArgs("unexpected endkey argument with --prefix flag")
	case len(args) > 1 && f.fromKey:
		return "", "", badArgs("unexpected endkey argument with --from-key flag")
	case len(args) > 1:
		return key, args[1], nil
	case f.prefix:
		return key, clientv3.GetPrefixRangeEnd(key), nil
	case f.fromKey:
		return key, "\x00", nil
	}
	return key, "", nil
}

func (a *app) roleGrantCommand() *cobra.Command {
	var f rangeFlags
	c := &cobra.Command{
		Use:   "grant-permission [options] <role name> <permission type> <key> [endkey]",
		Short: "Let a role read, write or readwrite a key or range",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 3 {
				return badArgs("role grant command requires role name, permission type, and key [endkey] as its argument")
			}
			kind, err := clientv3.StrToPermissionType(args[1])
			if err != nil {
				return failure{exitBadArgs, err}
			}
			key, end, err := f.keys(args[2:])
			if err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				r, err := c.RoleGrantPermission(ctx, args[0], key, end, kind)
				return answerOr(r, err, func(r *clientv3.AuthRoleGrantPermissionResponse) show.Answer {
					return show.RoleGrantPermission(args[0], r)
				})
			})
		},
	}
	f.register(c.Flags())
	return c
}

func (a *app) roleRevokeCommand() *cobra.Command {
	var f rangeFlags
	c := &cobra.Command{
		Use:   "revoke-permission <role name> <key> [endkey]",
		Short: "Take a key or range from a role",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return badArgs("role revoke-permission command requires role name and key [endkey] as its argument")
			}
			key, end, err := f.keys(args[1:])
			if err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				r, err := c.RoleRevokePermission(ctx, args[0], key, end)
				return answerOr(r, err, func(r *clientv3.AuthRoleRevokePermissionResponse) show.Answer {
					return show.RoleRevokePermission(args[0], args[1], end, r)
				})
			})
		},
	}
	f.register(c.Flags())
	return c
}
