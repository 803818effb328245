package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) endpointCommand() *cobra.Command {
	var cluster bool
	var revision int64
	health := &cobra.Command{
		Use:   "health",
		Short: "Say whether each endpoint can serve",
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.endpointHealth(cmd, cluster) },
	}
	status := &cobra.Command{
		Use:   "status",
		Short: "Show the status of each endpoint",
		Long: "Show the status of each endpoint. A line of the simple format holds: endpoint, ID, version, storage version, db size, in use,\n" +
			"percentage not in use, quota, is leader, is learner, raft term, raft index, raft applied index, errors, downgrade target, downgrade.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.endpointStatus(cmd, cluster) },
	}
	hashKV := &cobra.Command{
		Use:   "hashkv",
		Short: "Show a hash over the keys and their history for each endpoint",
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.endpointHashKV(cmd, cluster, revision) },
	}
	hashKV.Flags().Int64Var(&revision, "rev", 0, "up to which `revision` (0: the newest)")
	c := parent("endpoint <subcommand>", "The servers that --endpoints names", health, status, hashKV)
	c.PersistentFlags().BoolVar(&cluster, "cluster", false, "all members of the cluster, at their client URLs, instead of --endpoints")
	return c
}

// each is the configurations for the endpoints one by one: those of the flags or, with cluster, what the cluster says of itself.
func (a *app) each(cluster bool) ([]*clientv3.Config, error) {
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	endpoints := config.Endpoints
	if cluster {
		if endpoints, err = a.clientURLs(config); err != nil {
			return nil, failure{exitError, fmt.Errorf("failed to fetch endpoints from etcd cluster member list: %w", err)}
		}
	}
	all := make([]*clientv3.Config, len(endpoints))
	for i, e := range endpoints {
		one := *config
		one.Endpoints = []string{e}
		all[i] = &one
	}
	return all, nil
}

func (a *app) clientURLs(config *clientv3.Config) (urls []string, err error) {
	c, err := dial(config)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := a.limited()
	defer cancel()
	members, err := c.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range members.Members {
		urls = append(urls, m.ClientURLs...)
	}
	return urls, nil
}

func (a *app) endpointHealth(cmd *cobra.Command, cluster bool) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	configs, err := a.each(cluster)
	if err != nil {
		return err
	}
	progress := a.progress(func() string { return "asking" })
	found := a.allHealth(configs)
	progress.stop()
	unhealthy := false
	for _, h := range found {
		unhealthy = unhealthy || h.Error != ""
		if h.Error != "" && a.printer.Simple() {
			fmt.Fprintf(a.stderr, "%s is unhealthy: failed to commit proposal: %v\n", h.Endpoint, h.Error)
		}
	}
	if err := a.print(show.EndpointHealth(found)); err != nil {
		return err
	}
	if unhealthy {
		return fail(exitError, unhealthyCluster)
	}
	return nil
}

// allHealth asks all at once; the results are in the order in which they came, as in etcdctl.
func (a *app) allHealth(configs []*clientv3.Config) (found []show.Health) {
	results := make(chan show.Health, len(configs))
	var asking sync.WaitGroup
	for _, c := range configs {
		asking.Go(func() { results <- a.health(c) })
	}
	asking.Wait()
	close(results)
	for h := range results {
		found = append(found, h)
	}
	return found
}

// health reads a key, which needs a quorum, and asks for alarms.
func (a *app) health(config *clientv3.Config) show.Health {
	h := show.Health{Endpoint: config.Endpoints[0]}
	c, err := clientv3.New(*config)
	if err != nil {
		h.Error = err.Error()
		return h
	}
	defer c.Close()
	began := time.Now()
	ctx, cancel := a.limited()
	defer cancel()
	_, err = c.Get(ctx, "health")
	h.Took = time.Since(began).String()
	if err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) { // a denial, too, comes from a quorum
		h.Error = err.Error()
		return h
	}
	alarms, err := c.AlarmList(ctx)
	if err != nil {
		h.Error = "Unable to fetch the alarm list"
		return h
	}
	h.Error = alarmText(alarms)
	h.Healthy = h.Error == ""
	return h
}

func alarmText(r *clientv3.AlarmResponse) string {
	if len(r.Alarms) == 0 {
		return ""
	}
	text := "Active Alarm(s): "
	for _, alarm := range r.Alarms {
		switch alarm.Alarm {
		case pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT:
			text += alarm.Alarm.String() + " "
		default:
			text += "UNKNOWN "
		}
	}
	return text
}

func (a *app) endpointStatus(cmd *cobra.Command, cluster bool) error {
	var found []show.Status
	err := a.askEach(cmd, cluster, "status", func(ctx context.Context, c *clientv3.Client, endpoint string) error {
		r, err := c.Status(ctx, endpoint)
		if err == nil {
			found = append(found, show.Status{Endpoint: endpoint, Status: r})
		}
		return err
	})
	var unanswered failedEndpoint
	if err != nil && !errors.As(err, &unanswered) {
		return err
	}
	if printed := a.print(show.EndpointStatus(found)); printed != nil {
		return printed
	}
	if err != nil {
		return failure{code: exitError} // all is said
	}
	return nil
}

func (a *app) endpointHashKV(cmd *cobra.Command, cluster bool, revision int64) error {
	var found []show.HashKV
	err := a.askEach(cmd, cluster, "hash", func(ctx context.Context, c *clientv3.Client, endpoint string) error {
		r, err := c.HashKV(ctx, endpoint, revision)
		if err == nil {
			found = append(found, show.HashKV{Endpoint: endpoint, HashKV: r})
		}
		return err
	})
	var unanswered failedEndpoint
	if err != nil && !errors.As(err, &unanswered) {
		return err
	}
	if printed := a.print(show.EndpointHashKV(found)); printed != nil {
		return printed
	}
	return orFailure(err, exitError)
}

// failedEndpoint is the error of the last endpoint that did not answer; others may have.
type failedEndpoint struct{ error }

func (f failedEndpoint) Unwrap() error { return f.error }

// askEach asks one endpoint after the other and says on standard error which did not answer.
func (a *app) askEach(cmd *cobra.Command, cluster bool, what string, ask func(context.Context, *clientv3.Client, string) error) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	configs, err := a.each(cluster)
	if err != nil {
		return err
	}
	for _, config := range configs {
		endpoint := config.Endpoints[0]
		c, dialed := dial(config)
		if dialed != nil {
			return dialed
		}
		ctx, cancel := a.limited()
		progress := a.progress(func() string { return "waiting for " + endpoint })
		failed := ask(ctx, c, endpoint)
		progress.stop()
		cancel()
		c.Close()
		if failed != nil {
			fmt.Fprintf(a.stderr, "Failed to get the %s of endpoint %s (%v)\n", what, endpoint, failed)
			err = failedEndpoint{failed}
		}
	}
	return err
}
