package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) lockCommand() *cobra.Command {
	var ttl int
	c := &cobra.Command{
		Use:   "lock <lockname> [exec-command arg1 arg2 ...]",
		Short: "Hold a lock until interrupted, or while a command runs",
		Long: "Hold a lock until interrupted, or while a command runs, which finds ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment. The exit\n" +
			"code is the command's.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return badArgs("lock takes a lock name argument and an optional command to execute")
			}
			return a.withSession(cmd, ttl, func(ctx context.Context, c *clientv3.Client, s *concurrency.Session) error {
				return a.lock(ctx, c, s, args[0], args[1:])
			})
		},
	}
	c.Flags().IntVar(&ttl, "ttl", 10, "after how many `seconds` without contact the lock is given to others")
	return c
}

// withSession runs what with a lease that is kept alive and a context that ends on SIGINT or SIGTERM. A ttl of 0 is the client's default.
func (a *app) withSession(cmd *cobra.Command, ttl int, what func(context.Context, *clientv3.Client, *concurrency.Session) error) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var options []concurrency.SessionOption
	if ttl != 0 {
		options = append(options, concurrency.WithTTL(ttl))
	}
	session, err := concurrency.NewSession(c, options...)
	if err != nil {
		return failure{exitError, err}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return orFailure(what(ctx, c, session), exitError)
}

func (a *app) lock(ctx context.Context, c *clientv3.Client, s *concurrency.Session, name string, command []string) error {
	mutex := concurrency.NewMutex(s, name)
	waiting := a.progress(func() string { return "waiting for the lock " + name })
	err := mutex.Lock(ctx)
	waiting.stop()
	if err != nil {
		return err
	}
	if len(command) > 0 {
		return a.runLocked(mutex, command)
	}
	key, err := c.Get(ctx, mutex.Key())
	switch {
	case err != nil:
		return err
	case len(key.Kvs) == 0:
		return errors.New("lock lost on init")
	}
	if err := a.print(show.Get(key)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return mutex.Unlock(context.Background())
	case <-s.Done():
		return errors.New("session expired")
	}
}

// runLocked runs the command and gives the lock back, also when the command has failed.
func (a *app) runLocked(mutex *concurrency.Mutex, command []string) error {
	c := exec.Command(command[0], command[1:]...)
	c.Env = append([]string{"ETCD_LOCK_KEY=" + mutex.Key(), fmt.Sprintf("ETCD_LOCK_REV=%d", mutex.Header().GetRevision())}, a.environ...)
	c.Stdout, c.Stderr = a.stdout, a.stderr
	err := c.Run()
	unlocked := mutex.Unlock(context.Background())
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return failure{exited.ExitCode(), err}
	}
	if err != nil {
		return err
	}
	return unlocked
}
