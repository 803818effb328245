package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) watchCommand() *cobra.Command {
	var interactive bool
	var r watchRequest
	c := &cobra.Command{
		Use:   "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
		Short: "Show what happens to a key or a range of keys",
		Long: "Show what happens to a key or a range of keys, or run a command for each event, with ETCD_WATCH_REVISION, _EVENT_TYPE, _KEY and\n" +
			"_VALUE in its environment. ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END can name the keys. With -i, lines of standard input are\n" +
			"watches, as on the command line, or the word progress.",
		RunE: func(cmd *cobra.Command, args []string) error {
			env := watchKeys{a.variable("ETCDCTL_WATCH_KEY"), a.variable("ETCDCTL_WATCH_RANGE_END")}
			if env.key == "" && env.end != "" {
				return badArgs("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=%q", env.end)
			}
			if interactive {
				return a.watchInteractive(cmd, env)
			}
			if err := r.arguments(args, cmd.ArgsLenAtDash(), env); err != nil {
				return failure{exitBadArgs, err}
			}
			return a.watchOne(cmd, &r)
		},
	}
	r.flags.register(c.Flags())
	c.Flags().BoolVarP(&interactive, "interactive", "i", false, "read what to watch from standard input")
	return c
}

// variable is the value of an environment variable.
func (a *app) variable(name string) string {
	for _, v := range a.environ {
		if value, found := strings.CutPrefix(v, name+"="); found {
			return value
		}
	}
	return ""
}

func (a *app) watchOne(cmd *cobra.Command, r *watchRequest) error {
	options, err := r.options()
	if err != nil {
		return failure{exitBadArgs, err}
	}
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	events := c.Watch(clientv3.WithRequireLeader(context.Background()), r.where[0], options...)
	if err := a.follow(events, r.command); err != nil {
		return err
	}
	if err := c.Close(); err != nil {
		return failure{exitBadConnection, err}
	}
	return fail(exitInterrupted, "watch is canceled by the server")
}

// follow shows what comes until the watch ends; its error is that of a command that could not be run or failed, which ends the process.
func (a *app) follow(responses clientv3.WatchChan, command []string) error {
	for r := range responses {
		if r.Canceled {
			fmt.Fprintf(a.stderr, "watch was canceled (%v)\n", r.Err())
			a.hint(r.Err())
		}
		if r.IsProgressNotify() {
			_ = a.printer.Printf("progress notify: %d\n", r.Header.GetRevision())
		}
		if err := a.print(show.Watch(&r)); err != nil {
			return err
		}
		if len(command) == 0 {
			continue
		}
		for _, e := range r.Events {
			if err := a.runFor(r.Header.GetRevision(), e, command); err != nil {
				fmt.Fprintf(a.stderr, "command %q error (%v)\n", command, err)
				return failure{code: exitError}
			}
		}
	}
	return nil
}

func (a *app) runFor(revision int64, e *clientv3.Event, command []string) error {
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(a.environ[:len(a.environ):len(a.environ)],
		fmt.Sprintf("ETCD_WATCH_REVISION=%d", revision),
		fmt.Sprintf("ETCD_WATCH_EVENT_TYPE=%q", e.GetType()),
		fmt.Sprintf("ETCD_WATCH_KEY=%q", e.GetKv().GetKey()),
		fmt.Sprintf("ETCD_WATCH_VALUE=%q", e.GetKv().GetValue()))
	c.Stdout, c.Stderr = a.stdout, a.stderr
	return c.Run()
}

// watchInteractive reads lines until standard input or a command ends. A line that is not understood is passed over, with a word about it.
func (a *app) watchInteractive(cmd *cobra.Command, env watchKeys) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- a.watchLines(c, env, failed) }()
	return <-failed
}

func (a *app) watchLines(c *clientv3.Client, env watchKeys, failed chan<- error) error {
	in := bufio.NewReader(a.stdin)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return fail(exitInvalidInput, "error reading watch request line: %w", err)
		}
		line = strings.TrimSuffix(line, "\n")
		args, err := words(line)
		if err != nil {
			return err
		}
		switch {
		case len(args) == 0:
			fmt.Fprintf(a.stderr, "Invalid command: %s (watch and progress supported)\n", line)
		case args[0] == "progress":
			if err := c.RequestProgress(clientv3.WithRequireLeader(context.Background())); err != nil {
				return failure{exitError, err}
			}
		case args[0] != "watch":
			fmt.Fprintf(a.stderr, "Invalid command %s (only support watch)\n", line)
		case len(args) < 2 && env.key == "":
			fmt.Fprintf(a.stderr, "Invalid command %s (command type or key is not provided)\n", line)
		default:
			r, err := parseWatch(args[1:], env)
			if err != nil {
				return failure{exitBadArgs, err}
			}
			options, err := r.options()
			if err != nil {
				fmt.Fprintf(a.stderr, "Invalid command %s (%v)\n", line, err)
				continue
			}
			responses := c.Watch(clientv3.WithRequireLeader(context.Background()), r.where[0], options...)
			go func() {
				if err := a.follow(responses, r.command); err != nil {
					select {
					case failed <- err:
					default: // the process is about to end
					}
				}
			}()
		}
	}
}
