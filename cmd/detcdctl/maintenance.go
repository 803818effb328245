package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) alarmCommand() *cobra.Command {
	command := func(name, short string, ask func(*clientv3.Client, context.Context) (*clientv3.AlarmResponse, error)) *cobra.Command {
		return &cobra.Command{
			Use:   name,
			Short: short,
			RunE: func(cmd *cobra.Command, args []string) error {
				if len(args) != 0 {
					return badArgs("alarm %s command accepts no arguments", name)
				}
				return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
					response, err := ask(c, ctx)
					return answerOr(response, err, show.Alarm)
				})
			},
		}
	}
	return parent("alarm <subcommand>", "Alarms: what keeps servers from writing",
		command("list", "List all alarms", (*clientv3.Client).AlarmList),
		command("disarm", "End all alarms", func(c *clientv3.Client, ctx context.Context) (*clientv3.AlarmResponse, error) {
			return c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		}))
}

func (a *app) defragCommand() *cobra.Command {
	var cluster bool
	c := &cobra.Command{
		Use:   "defrag",
		Short: "Give free space of the servers' storage back",
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.defrag(cmd, cluster) },
	}
	c.Flags().BoolVar(&cluster, "cluster", false, "all members of the cluster, at their client URLs, instead of --endpoints")
	return c
}

func (a *app) defrag(cmd *cobra.Command, cluster bool) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	configs, err := a.each(cluster)
	if err != nil {
		return err
	}
	failed := false
	for _, config := range configs {
		endpoint := config.Endpoints[0]
		c, err := dial(config)
		if err != nil {
			return err
		}
		ctx, cancel := a.limited()
		progress := a.progress(func() string { return "defragmenting " + endpoint })
		began := time.Now()
		_, err = c.Defragment(ctx, endpoint)
		took := time.Since(began)
		progress.stop()
		cancel()
		c.Close()
		if err != nil {
			fmt.Fprintf(a.stderr, "Failed to defragment etcd member[%s]. took %s. (%v)\n", endpoint, took, err)
			a.hint(err)
			failed = true
			continue
		}
		_ = a.printer.Printf("Finished defragmenting etcd member[%s]. took %s\n", endpoint, took)
	}
	if failed {
		return failure{code: exitError} // all is said
	}
	return nil
}

func (a *app) moveLeaderCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "move-leader <transferee-member-id>",
		Short: "Let another member lead",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("move-leader command needs 1 argument")
			}
			to, err := strconv.ParseUint(args[0], 16, 64)
			if err != nil {
				return failure{exitBadArgs, err}
			}
			return a.moveLeader(cmd, to)
		},
	}
}

// moveLeader asks the endpoint that leads: the others refuse.
func (a *app) moveLeader(cmd *cobra.Command, to uint64) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	configs, err := a.each(false)
	if err != nil {
		return err
	}
	ctx, cancel := a.limited()
	defer cancel()
	var endpoints []string
	for _, config := range configs {
		endpoint := config.Endpoints[0]
		endpoints = append(endpoints, endpoint)
		c, err := dial(config)
		if err != nil {
			return err
		}
		defer c.Close()
		status, err := c.Status(ctx, endpoint)
		if err != nil {
			return failure{exitError, err}
		}
		if status.Leader != status.Header.GetMemberId() {
			continue
		}
		response, err := c.MoveLeader(ctx, to)
		if err != nil {
			return failure{exitError, err}
		}
		return a.print(show.MoveLeader(status.Leader, to, response))
	}
	return badArgs("no leader endpoint given at %v", endpoints)
}

func (a *app) downgradeCommand() *cobra.Command {
	command := func(use, short, name string, action clientv3.DowngradeAction, takesVersion bool) *cobra.Command {
		return &cobra.Command{
			Use:   use,
			Short: short,
			RunE: func(cmd *cobra.Command, args []string) error {
				target := ""
				if takesVersion {
					var err error
					if target, err = targetVersion(args); err != nil {
						return failure{exitBadArgs, err}
					}
				}
				return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
					response, err := c.Downgrade(ctx, action, target)
					return answerOr(response, err, func(r *clientv3.DowngradeResponse) show.Answer { return show.Downgrade(name, r) })
				})
			},
		}
	}
	return parent("downgrade <TARGET_VERSION>", "Prepare the cluster for servers of an earlier version",
		command("validate <TARGET_VERSION>", "Say whether it can be done", "validate", clientv3.DowngradeValidate, true),
		command("enable <TARGET_VERSION>", "Begin", "enable", clientv3.DowngradeEnable, true),
		command("cancel", "Go back to the version that the servers have", "cancel", clientv3.DowngradeCancel, false))
}

func targetVersion(args []string) (string, error) {
	switch {
	case len(args) == 0:
		return "", errors.New("TARGET_VERSION not provided")
	case len(args) > 1:
		return "", errors.New("too many arguments")
	case args[0] == "":
		return "", errors.New("target version not provided")
	}
	return args[0], nil
}
