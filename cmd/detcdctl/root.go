package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/api/v3/version"
)

// groups of the commands in the help.
const (
	groupKV          = "kv"
	groupMaintenance = "maintenance"
	groupConcurrency = "concurrency"
	groupAuth        = "auth"
	groupUtility     = "utility"
)

func (a *app) rootCommand() *cobra.Command {
	cobra.EnablePrefixMatching = true // `etcdctl mem li` is understood
	root := &cobra.Command{
		Use:   a.name,
		Short: "The command line of detcd, for any server with the etcd v3 API.",
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { // the arguments are in order: from here on errors are our own to print
			cmd.SilenceUsage, cmd.Root().SilenceErrors = true, true
		},
	}
	a.global.register(root.PersistentFlags())
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = true }) // the command options lists them
	root.Flags().BoolP("help", "h", false, "show this help")
	root.Flags().Lookup("help").Hidden = true
	root.AddGroup(
		&cobra.Group{ID: groupKV, Title: "Keys and values"},
		&cobra.Group{ID: groupMaintenance, Title: "Servers and clusters"},
		&cobra.Group{ID: groupConcurrency, Title: "Locks and elections"},
		&cobra.Group{ID: groupAuth, Title: "Users and permissions"},
		&cobra.Group{ID: groupUtility, Title: "Other"},
	)
	root.SetHelpCommandGroupID(groupUtility)
	a.add(root, groupKV, a.getCommand(), a.putCommand(), a.delCommand(), a.txnCommand(), a.watchCommand(), a.compactionCommand(), a.leaseCommand())
	a.add(root, groupMaintenance, a.endpointCommand(), a.memberCommand(), a.alarmCommand(), a.defragCommand(), a.moveLeaderCommand(),
		a.snapshotCommand(), a.downgradeCommand())
	a.add(root, groupConcurrency, a.lockCommand(), a.electCommand())
	a.add(root, groupAuth, a.authCommand(), a.userCommand(), a.roleCommand())
	a.add(root, groupUtility, a.checkCommand(), a.makeMirrorCommand(), a.versionCommand(), a.completionCommand(), a.optionsCommand())
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		fmt.Fprintf(cmd.OutOrStdout(), "Use \"%s options\" for the options that every command takes.\n", a.name)
	})
	return root
}

func (a *app) add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// parent is a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(children...)
	return c
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Run: func(*cobra.Command, []string) {
			fmt.Fprintln(a.stdout, "etcdctl version:", version.Version)
			fmt.Fprintln(a.stdout, "API version:", version.APIVersion)
		},
	}
}

func (a *app) optionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "Show the options that every command takes",
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(a.stdout, "Every command takes these options; each can also be set by a variable: --dial-timeout is %s.\n\n", envName("dial-timeout"))
			visible := pflag.NewFlagSet("", pflag.ContinueOnError)
			cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
				shown := *f
				shown.Hidden = false
				visible.AddFlag(&shown)
			})
			fmt.Fprint(a.stdout, visible.FlagUsages())
		},
	}
}

func (a *app) completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletion(a.stdout) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(a.stdout) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(a.stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(a.stdout) },
	}
	return &cobra.Command{
		Use:                   "completion [bash|zsh|fish|powershell]",
		Short:                 "Write a script that completes commands in a shell",
		Long:                  fmt.Sprintf("Write a script that completes commands in a shell. For bash:\n\n  source <(%s completion bash)", a.name),
		DisableFlagsInUseLine: true,
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			return orFailure(shells[args[0]](cmd.Root()), exitError)
		},
	}
}
