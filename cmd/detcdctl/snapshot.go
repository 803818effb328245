package main

import (
	"context"
	"fmt"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/v3/snapshot"
)

func (a *app) snapshotCommand() *cobra.Command {
	save := &cobra.Command{
		Use:   "save <filename>",
		Short: "Save all that a server stores to a file",
		Long: "Save all that a server stores to a file. --endpoints must name one server. There is no time limit unless --command-timeout is\n" +
			"given.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArgs("snapshot save expects one argument <filename>")
			}
			return a.snapshotSave(cmd, args[0])
		},
	}
	return parent("snapshot <subcommand>", "Backups", save)
}

func (a *app) snapshotSave(cmd *cobra.Command, path string) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	config, err := a.config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if a.given(cmd, "command-timeout") {
		ctx, cancel = a.limited()
	}
	defer cancel()
	progress := a.progress(func() string { return "saving " + path + saved(path+".part") })
	version, err := snapshot.SaveWithVersion(ctx, a.logger(), *config, path)
	progress.stop()
	if err != nil {
		return failure{exitInterrupted, err}
	}
	if err := a.printer.Printf("Snapshot saved at %s\n", path); err != nil || version == "" {
		return orFailure(err, exitError)
	}
	return a.printer.Printf("Server version %s\n", version)
}

// saved says how much of a snapshot has come; it is written beside its place until it is whole.
func saved(part string) string {
	info, err := os.Stat(part)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(": %s so far", humanize.Bytes(uint64(info.Size())))
}
