package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/mirror"
)

// mirrorCount is how often the number of mirrored keys is shown.
const mirrorCount = 30 * time.Second

// mirrorFlags are the flags of make-mirror.
type mirrorFlags struct {
	prefix, destPrefix string
	noDestPrefix       bool
	rev                int64
	maxTxnOps          uint
	cert, key, cacert  string
	insecureTransport  bool
	user, password     string
}

func (a *app) makeMirrorCommand() *cobra.Command {
	var f mirrorFlags
	c := &cobra.Command{
		Use:   "make-mirror [options] <destination>",
		Short: "Copy keys to another cluster and keep the copy up to date",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return badArgs("make-mirror takes one destination argument")
			case f.noDestPrefix && f.destPrefix != "":
				return badArgs("`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one")
			}
			return a.makeMirror(cmd, &f, args[0])
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.prefix, "prefix", "", "copy only keys that begin so")
	fs.StringVar(&f.destPrefix, "dest-prefix", "", "what takes the place of --prefix in the copy")
	fs.BoolVar(&f.noDestPrefix, "no-dest-prefix", false, "leave --prefix off in the copy")
	fs.Int64Var(&f.rev, "rev", 0, "copy only what happens from this `revision` on")
	fs.UintVar(&f.maxTxnOps, "max-txn-ops", 128, "how many keys a transaction may change at the destination")
	fs.StringVar(&f.cert, "dest-cert", "", "TLS certificate `file` for the destination")
	fs.StringVar(&f.key, "dest-key", "", "TLS key `file` for the destination")
	fs.StringVar(&f.cacert, "dest-cacert", "", "`file` with the CA certificates for the destination")
	fs.BoolVar(&f.insecureTransport, "dest-insecure-transport", true, "allow connections to the destination without TLS")
	fs.StringVar(&f.user, "dest-user", "", "`name[:password]` to authenticate with at the destination")
	fs.StringVar(&f.password, "dest-password", "", "password of --dest-user")
	return c
}

func (a *app) makeMirror(cmd *cobra.Command, f *mirrorFlags, destination string) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	to, err := a.destination(f, destination)
	if err != nil {
		return err
	}
	defer to.Close()
	from, err := a.client()
	if err != nil {
		return err
	}
	defer from.Close()
	m := &mirroring{flags: f, from: from, to: to}
	go func() {
		for range time.Tick(mirrorCount) {
			_ = a.printer.Printf("%d\n", m.total.Load())
		}
	}()
	return failure{exitError, m.run(context.Background())}
}

func (a *app) destination(f *mirrorFlags, endpoint string) (*clientv3.Client, error) {
	auth, err := credentials(f.user, f.password, "", "Destination Password: ")
	if err != nil {
		return nil, err
	}
	config, err := a.configOf(&clientv3.ConfigSpec{
		Endpoints: []string{endpoint}, DialTimeout: a.global.dialTimeout,
		KeepAliveTime: a.global.keepAliveTime, KeepAliveTimeout: a.global.keepAliveTimeout,
		MaxCallSendMsgSize: a.global.maxRequestBytes, MaxCallRecvMsgSize: a.global.maxRecvBytes,
		Secure: &clientv3.SecureConfig{Cert: f.cert, Key: f.key, Cacert: f.cacert, InsecureTransport: f.insecureTransport},
		Auth:   auth,
	})
	if err != nil {
		return nil, err
	}
	return dial(config)
}

// mirroring copies keys from one cluster to another.
type mirroring struct {
	flags *mirrorFlags
	from  *clientv3.Client
	to    clientv3.KV
	total atomic.Int64 // keys put and deleted
}

// run returns only when it cannot go on.
func (m *mirroring) run(ctx context.Context) error {
	// The syncer's revision is the last one that the copy has.
	syncer := mirror.NewSyncer(m.from, m.flags.prefix, max(m.flags.rev-1, 0))
	if m.flags.rev <= 1 {
		if err := m.base(ctx, syncer); err != nil {
			return err
		}
	}
	for response := range syncer.SyncUpdates(ctx) {
		if response.CompactRevision != 0 {
			return rpctypes.ErrCompacted
		}
		if err := m.events(ctx, response.Events); err != nil {
			return err
		}
	}
	return errors.New("the watch has ended")
}

func (m *mirroring) base(ctx context.Context, syncer mirror.Syncer) error {
	parts, failed := syncer.SyncBase(ctx)
	for part := range parts {
		for _, kv := range part.Kvs {
			if _, err := m.to.Put(ctx, m.name(string(kv.Key)), string(kv.Value)); err != nil {
				return err
			}
			m.total.Add(1)
		}
	}
	return <-failed
}

// events carries out what happened, a transaction for each revision, or several if it changed too many keys for one.
func (m *mirroring) events(ctx context.Context, events []*clientv3.Event) error {
	var ops []clientv3.Op
	for i, e := range events {
		name := m.name(string(e.Kv.Key))
		if e.Type == clientv3.EventTypeDelete {
			ops = append(ops, clientv3.OpDelete(name))
		} else {
			ops = append(ops, clientv3.OpPut(name, string(e.Kv.Value)))
		}
		last := i == len(events)-1 || events[i+1].Kv.ModRevision != e.Kv.ModRevision
		if !last && uint(len(ops)) < m.flags.maxTxnOps {
			continue
		}
		if _, err := m.to.Txn(ctx).Then(ops...).Commit(); err != nil {
			return err
		}
		m.total.Add(int64(len(ops)))
		ops = nil
	}
	return nil
}

// name is a key's name in the copy.
func (m *mirroring) name(key string) string {
	switch {
	case m.flags.noDestPrefix:
		return strings.TrimPrefix(key, m.flags.prefix)
	case m.flags.destPrefix != "":
		return m.flags.destPrefix + strings.TrimPrefix(key, m.flags.prefix)
	}
	return key
}
