package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) memberCommand() *cobra.Command {
	return parent("member <subcommand>", "The members of the cluster",
		a.memberAddCommand(), a.memberRemoveCommand(), a.memberUpdateCommand(), a.memberListCommand(), a.memberPromoteCommand())
}

func (a *app) memberListCommand() *cobra.Command {
	var consistency string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the members",
		Long:  "List the members. A line of the simple format holds: ID, status, name, peer URLs, client URLs, is learner.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			serializable, err := isSerializable(consistency)
			if err != nil {
				return err
			}
			var options []clientv3.OpOption
			if serializable {
				options = append(options, clientv3.WithSerializable())
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.MemberList(ctx, options...)
				return answerOr(response, err, show.MemberList)
			})
		},
	}
	c.Flags().StringVar(&consistency, "consistency", "l", "l: linearizable; s: serializable, what the asked server knows")
	return c
}

func (a *app) memberAddCommand() *cobra.Command {
	var peerURLs string
	var learner bool
	c := &cobra.Command{
		Use:   "add <memberName> [options]",
		Short: "Add a member, which is to be started then",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return badArgs("member name not provided")
			case len(args) > 1:
				return badArgs("too many arguments%s", meantPeerURLs(args))
			case peerURLs == "":
				return badArgs("member peer urls not provided")
			}
			return a.memberAdd(cmd, args[0], peerURLs, learner)
		},
	}
	c.Flags().StringVar(&peerURLs, "peer-urls", "", "the new member's peer `URLs`, separated by commas")
	c.Flags().BoolVar(&learner, "learner", false, "the member only learns at first: it does not vote")
	return c
}

// meantPeerURLs helps those who forgot the flag.
func meantPeerURLs(args []string) (hint string) {
	for _, arg := range args {
		if strings.HasPrefix(strings.ToLower(arg), "http") {
			hint += ", did you mean --peer-urls=" + arg
		}
	}
	return hint
}

func (a *app) memberAdd(cmd *cobra.Command, name, peerURLs string, learner bool) error {
	var response *clientv3.MemberAddResponse
	err := a.call(cmd, func(ctx context.Context, c *clientv3.Client) (answer show.Answer, err error) {
		add := c.MemberAdd
		if learner {
			add = c.MemberAddAsLearner
		}
		response, err = add(ctx, strings.Split(peerURLs, ","))
		return answerOr(response, err, show.MemberAdd)
	})
	if err != nil || !a.printer.Simple() {
		return err
	}
	var cluster []string
	for _, m := range response.Members {
		memberName := m.Name
		if m.ID == response.Member.ID {
			memberName = name
		}
		for _, u := range m.PeerURLs {
			cluster = append(cluster, memberName+"="+u)
		}
	}
	return a.printer.Printf("\nETCD_NAME=%q\nETCD_INITIAL_CLUSTER=%q\nETCD_INITIAL_ADVERTISE_PEER_URLS=%q\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
		name, strings.Join(cluster, ","), peerURLs)
}

func (a *app) memberRemoveCommand() *cobra.Command {
	return a.memberChangeCommand("remove <memberID>", "Remove a member",
		func(ctx context.Context, c *clientv3.Client, id uint64) (show.Answer, error) {
			response, err := c.MemberRemove(ctx, id)
			return answerOr(response, err, func(r *clientv3.MemberRemoveResponse) show.Answer { return show.MemberRemove(id, r) })
		})
}

func (a *app) memberPromoteCommand() *cobra.Command {
	return a.memberChangeCommand("promote <memberID>", "Let a learner vote",
		func(ctx context.Context, c *clientv3.Client, id uint64) (show.Answer, error) {
			response, err := c.MemberPromote(ctx, id)
			return answerOr(response, err, func(r *clientv3.MemberPromoteResponse) show.Answer { return show.MemberPromote(id, r) })
		})
}

func (a *app) memberUpdateCommand() *cobra.Command {
	var peerURLs string
	c := a.memberChangeCommand("update <memberID> [options]", "Give a member other peer URLs",
		func(ctx context.Context, c *clientv3.Client, id uint64) (show.Answer, error) {
			response, err := c.MemberUpdate(ctx, id, strings.Split(peerURLs, ","))
			return answerOr(response, err, func(r *clientv3.MemberUpdateResponse) show.Answer { return show.MemberUpdate(id, r) })
		})
	c.Flags().StringVar(&peerURLs, "peer-urls", "", "the member's new peer `URLs`, separated by commas")
	change := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := memberID(args); err == nil && peerURLs == "" {
			return badArgs("member peer urls not provided")
		}
		return change(cmd, args)
	}
	return c
}

// memberChangeCommand is a command whose one argument is the id of a member.
func (a *app) memberChangeCommand(use, short string, change func(context.Context, *clientv3.Client, uint64) (show.Answer, error)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := memberID(args)
			if err != nil {
				return failure{exitBadArgs, err}
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) { return change(ctx, c, id) })
		},
	}
}

// memberID reads the id of a member, which is written in base 16.
func memberID(args []string) (uint64, error) {
	if len(args) != 1 {
		return 0, fmt.Errorf("member ID is not provided")
	}
	id, err := strconv.ParseUint(args[0], 16, 64)
	if err != nil {
		return 0, fmt.Errorf("bad member ID arg (%w), expecting ID in Hex", err)
	}
	return id, nil
}
