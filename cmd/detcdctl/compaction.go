package main

import (
	"strconv"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (a *app) compactionCommand() *cobra.Command {
	var physical bool
	c := &cobra.Command{
		Use:   "compaction [options] <revision>",
		Short: "Forget what keys were before a revision",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("compaction command needs 1 argument")
			}
			revision, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return failure{exitError, err}
			}
			var options []clientv3.CompactOption
			if physical {
				options = append(options, clientv3.WithCompactPhysical())
			}
			if err := a.begin(cmd, false); err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, cancel := a.limited()
			defer cancel()
			if _, err := client.Compact(ctx, revision, options...); err != nil {
				return failure{exitError, err}
			}
			return a.printer.Printf("compacted revision %d\n", revision)
		},
	}
	c.Flags().BoolVar(&physical, "physical", false, "wait until the old revisions are gone from the disk, too")
	return c
}
