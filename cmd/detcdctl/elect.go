package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) electCommand() *cobra.Command {
	var listen bool
	c := &cobra.Command{
		Use:   "elect <election-name> [proposal]",
		Short: "Lead an election until interrupted, or follow who leads",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 1 && len(args) != 2:
				return badArgs("elect takes one election name argument and an optional proposal argument")
			case len(args) == 1 && !listen:
				return badArgs("no proposal argument but -l not set")
			case len(args) == 2 && listen:
				return badArgs("proposal given but -l is set")
			}
			return a.withSession(cmd, 0, func(ctx context.Context, c *clientv3.Client, s *concurrency.Session) error {
				election := concurrency.NewElection(s, args[0])
				if listen {
					return a.observe(ctx, election)
				}
				return a.campaign(ctx, c, s, election, args[1])
			})
		},
	}
	c.Flags().BoolVarP(&listen, "listen", "l", false, "only show who leads, and each who leads later")
	return c
}

// observe shows each leader until interrupted.
func (a *app) observe(ctx context.Context, election *concurrency.Election) error {
	for leader := range election.Observe(ctx) {
		if err := a.print(show.Get(leader)); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		return errors.New("elect: observer lost")
	}
	return nil
}

// campaign waits to lead, says so, and leads until interrupted.
func (a *app) campaign(ctx context.Context, c *clientv3.Client, s *concurrency.Session, election *concurrency.Election, proposal string) error {
	waiting := a.progress(func() string { return "waiting to be elected" })
	err := election.Campaign(ctx, proposal)
	waiting.stop()
	if err != nil {
		return err
	}
	key, err := c.Get(ctx, election.Key())
	if err != nil {
		return err
	}
	if err := a.print(show.Get(key)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return election.Resign(context.Background())
	case <-s.Done():
		return errors.New("elect: session expired")
	}
}
