package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) leaseCommand() *cobra.Command {
	return parent("lease <subcommand>", "Leases: keys that end with their owner",
		a.leaseGrantCommand(), a.leaseRevokeCommand(), a.leaseTimeToLiveCommand(), a.leaseListCommand(), a.leaseKeepAliveCommand())
}

func (a *app) leaseGrantCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "grant <ttl>",
		Short: "Make a lease that lasts so many seconds unless it is kept alive",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("lease grant command needs TTL argument")
			}
			ttl, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return badArgs("bad TTL (%w)", err)
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.Grant(ctx, ttl)
				if err != nil {
					return show.Answer{}, fail(exitError, "failed to grant lease (%w)", err)
				}
				return show.LeaseGrant(response), nil
			})
		},
	}
}

func (a *app) leaseRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke <leaseID>",
		Short: "End a lease and delete its keys",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("lease revoke command needs 1 argument")
			}
			id, err := leaseID(args[0])
			if err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.Revoke(ctx, id)
				if err != nil {
					return show.Answer{}, fail(exitError, "failed to revoke lease (%w)", err)
				}
				return show.LeaseRevoke(id, response), nil
			})
		},
	}
}

func (a *app) leaseTimeToLiveCommand() *cobra.Command {
	var keys bool
	c := &cobra.Command{
		Use:   "timetolive <leaseID> [options]",
		Short: "Show how long a lease still lasts",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("lease timetolive command needs lease ID as argument")
			}
			id, err := leaseID(args[0])
			if err != nil {
				return err
			}
			var options []clientv3.LeaseOption
			if keys {
				options = append(options, clientv3.WithAttachedKeys())
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.TimeToLive(ctx, id, options...)
				if err != nil {
					return show.Answer{}, failure{exitBadConnection, err}
				}
				return show.LeaseTimeToLive(response, keys), nil
			})
		},
	}
	c.Flags().BoolVar(&keys, "keys", false, "also show the lease's keys")
	return c
}

func (a *app) leaseListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all leases",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.Leases(ctx)
				if err != nil {
					return show.Answer{}, failure{exitBadConnection, err}
				}
				return show.Leases(response), nil
			})
		},
	}
}

func (a *app) leaseKeepAliveCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "keep-alive [options] <leaseID>",
		Short: "Keep a lease alive until interrupted",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("lease keep-alive command needs lease ID as argument")
			}
			id, err := leaseID(args[0])
			if err != nil {
				return err
			}
			if !once {
				return a.keepAlive(cmd, id)
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.KeepAliveOnce(ctx, id)
				if err != nil {
					return show.Answer{}, failure{exitBadConnection, err}
				}
				return show.LeaseKeepAlive(response), nil
			})
		},
	}
	c.Flags().BoolVar(&once, "once", false, "renew the lease once and end")
	return c
}

func (a *app) keepAlive(cmd *cobra.Command, id clientv3.LeaseID) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	responses, err := c.KeepAlive(context.Background(), id)
	if err != nil {
		return failure{exitBadConnection, err}
	}
	for r := range responses {
		if err := a.print(show.LeaseKeepAlive(r)); err != nil {
			return err
		}
	}
	if a.printer.Simple() {
		return a.printer.Printf("lease %016x expired or revoked.\n", id)
	}
	return nil
}

// leaseID reads the id of a lease, which is written in base 16.
func leaseID(arg string) (clientv3.LeaseID, error) {
	id, err := strconv.ParseInt(arg, 16, 64)
	if err != nil {
		return 0, badArgs("bad lease ID arg (%w), expecting ID in Hex", err)
	}
	return clientv3.LeaseID(id), nil
}
