package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bgentry/speakeasy"
	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) userCommand() *cobra.Command {
	return parent("user <subcommand>", "Users",
		a.userAddCommand(), a.userGetCommand(), a.userPasswordCommand(),
		a.named("delete <user name>", "Delete a user", 1, "user delete command requires user name as its argument",
			func(ctx context.Context, c *clientv3.Client, args []string) (show.Answer, error) {
				r, err := c.UserDelete(ctx, args[0])
				return answerOr(r, err, func(r *clientv3.AuthUserDeleteResponse) show.Answer { return show.UserDelete(args[0], r) })
			}),
		a.named("list", "List all users", 0, "user list command requires no arguments",
			func(ctx context.Context, c *clientv3.Client, _ []string) (show.Answer, error) {
				r, err := c.UserList(ctx)
				return answerOr(r, err, show.UserList)
			}),
		a.named("grant-role <user name> <role name>", "Give a user a role", 2,
			"user grant command requires user name and role name as its argument",
			func(ctx context.Context, c *clientv3.Client, args []string) (show.Answer, error) {
				r, err := c.UserGrantRole(ctx, args[0], args[1])
				return answerOr(r, err, func(r *clientv3.AuthUserGrantRoleResponse) show.Answer {
					return show.UserGrantRole(args[0], args[1], r)
				})
			}),
		a.named("revoke-role <user name> <role name>", "Take a role from a user", 2,
			"user revoke-role requires user name and role name as its argument",
			func(ctx context.Context, c *clientv3.Client, args []string) (show.Answer, error) {
				r, err := c.UserRevokeRole(ctx, args[0], args[1])
				return answerOr(r, err, func(r *clientv3.AuthUserRevokeRoleResponse) show.Answer {
					return show.UserRevokeRole(args[0], args[1], r)
				})
			}))
}

func (a *app) userAddCommand() *cobra.Command {
	var interactive, noPassword bool
	var password string
	c := &cobra.Command{
		Use:   "add <user name or user:password> [options]",
		Short: "Make a user",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("user add command requires user name as its argument")
			}
			user := args[0]
			if !noPassword && password == "" {
				name, given, found := strings.Cut(user, ":")
				switch {
				case found && name == "":
					return badArgs("empty user name is not allowed")
				case found:
					user, password = name, given
				default:
					asked, err := a.newPassword(user, interactive)
					if err != nil {
						return err
					}
					password = asked
				}
			}
			if noPassword {
				password = ""
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				r, err := c.UserAddWithOptions(ctx, user, password, &clientv3.UserAddOptions{NoPassword: noPassword})
				return answerOr(r, err, func(r *clientv3.AuthUserAddResponse) show.Answer { return show.UserAdd(user, r) })
			})
		},
	}
	c.Flags().BoolVar(&interactive, "interactive", true, "ask for the password on the terminal rather than read it from standard input")
	c.Flags().StringVar(&password, "new-user-password", "", "the new user's password")
	c.Flags().BoolVar(&noPassword, "no-password", false, "the user has no password: its certificate's common name says who it is")
	return c
}

// newPassword asks for a password, twice on a terminal.
func (a *app) newPassword(user string, interactive bool) (string, error) {
	if !interactive {
		var password string
		_, _ = fmt.Fscanf(a.stdin, "%s", &password) // what cannot be read is an empty password, which the server refuses
		return password, nil
	}
	first, err := speakeasy.Ask(fmt.Sprintf("Password of %s: ", user))
	switch {
	case err != nil:
		return "", badArgs("failed to ask password: %w", err)
	case first == "":
		return "", badArgs("empty password")
	}
	second, err := speakeasy.Ask(fmt.Sprintf("Type password of %s again for confirmation: ", user))
	switch {
	case err != nil:
		return "", badArgs("failed to ask password: %w", err)
	case first != second:
		return "", badArgs("given passwords are different")
	}
	return first, nil
}

func (a *app) userPasswordCommand() *cobra.Command {
	var interactive bool
	c := &cobra.Command{
		Use:   "passwd <user name> [options]",
		Short: "Give a user another password",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("user passwd command requires user name as its argument")
			}
			password, err := a.newPassword(args[0], interactive)
			if err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				r, err := c.UserChangePassword(ctx, args[0], password)
				return answerOr(r, err, show.UserChangePassword)
			})
		},
	}
	c.Flags().BoolVar(&interactive, "interactive", true, "ask for the password on the terminal rather than read it from standard input")
	return c
}

func (a *app) userGetCommand() *cobra.Command {
	var detail bool
	c := &cobra.Command{
		Use:   "get <user name> [options]",
		Short: "Show a user's roles",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("user get command requires user name as its argument")
			}
			return a.userGet(cmd, args[0], detail)
		},
	}
	c.Flags().BoolVar(&detail, "detail", false, "also show what the roles allow")
	return c
}

func (a *app) userGet(cmd *cobra.Command, user string, detail bool) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := a.limited()
	defer cancel()
	response, err := c.UserGet(ctx, user)
	if err != nil {
		return failure{exitError, err}
	}
	if !detail {
		return a.print(show.UserGet(user, response))
	}
	if err := a.printer.Printf("User: %s\n", user); err != nil {
		return failure{exitError, err}
	}
	for _, name := range response.Roles {
		_ = a.printer.Printf("\n")
		role, err := c.RoleGet(ctx, name)
		if err != nil {
			return failure{exitError, err}
		}
		if err := a.print(show.RoleGet(name, role)); err != nil {
			return err
		}
	}
	return nil
}
