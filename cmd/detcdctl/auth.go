package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) authCommand() *cobra.Command {
	return parent("auth <subcommand>", "Authentication on and off",
		a.plain("enable", "Ask users who they are, from now on", "auth enable command does not accept any arguments",
			a.sayDone("Authentication Enabled", enableAuth)),
		a.plain("disable", "Let everybody do everything", "auth disable command does not accept any arguments",
			a.sayDone("Authentication Disabled", func(ctx context.Context, c *clientv3.Client) error {
				_, err := c.AuthDisable(ctx)
				return err
			})),
		a.plain("status", "Say whether authentication is on", "auth status command does not accept any arguments",
			func(cmd *cobra.Command) error {
				return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
					response, err := c.AuthStatus(ctx)
					return answerOr(response, err, show.AuthStatus)
				})
			}))
}

// plain is a command without arguments.
func (a *app) plain(use, short, tooMany string, run func(*cobra.Command) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 {
				return failure{exitBadArgs, errors.New(tooMany)}
			}
			return run(cmd)
		},
	}
}

// sayDone carries something out and says so, in every format.
func (a *app) sayDone(what string, do func(context.Context, *clientv3.Client) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
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
		if err := do(ctx, c); err != nil {
			return failure{exitError, err}
		}
		return a.printer.Printf("%s\n", what)
	}
}

// enableAuth makes the role root and gives it to the user root if that is all that is missing.
func enableAuth(ctx context.Context, c *clientv3.Client) error {
	_, err := c.AuthEnable(ctx)
	if !errors.Is(err, rpctypes.ErrRootRoleNotExist) {
		return err
	}
	if _, err := c.RoleAdd(ctx, "root"); err != nil {
		return err
	}
	if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
		return err
	}
	_, err = c.AuthEnable(ctx)
	return err
}

// named is a command with a fixed number of arguments, which makes one request.
func (a *app) named(use, short string, arguments int, usage string,
	ask func(ctx context.Context, c *clientv3.Client, args []string) (show.Answer, error)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != arguments {
				return failure{exitBadArgs, fmt.Errorf("%s", usage)}
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) { return ask(ctx, c, args) })
		},
	}
}
