package main

import (
	"bufio"
	"context"
	"strings"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func (a *app) txnCommand() *cobra.Command {
	var interactive bool
	c := &cobra.Command{
		Use:   "txn [options]",
		Short: "Compare, then do one list of requests or another, all at once",
		Long: `Read a transaction from standard input: lines of comparisons, an empty line, lines of requests for when all of them hold, an empty line,
lines of requests for when one does not, an empty line. For example:

  mod("key1") > "0"

  put key1 "there was one"

  put key1 "there was none"
  get --prefix key

Comparisons are of value, version (ver), create (c), mod (m) or lease, with = != < or >. Requests are put, get and del with their options.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 {
				return badArgs("txn command does not accept argument")
			}
			return a.txn(cmd, interactive)
		},
	}
	c.Flags().BoolVarP(&interactive, "interactive", "i", false, "say what is to be entered")
	return c
}

func (a *app) txn(cmd *cobra.Command, interactive bool) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	in := bufio.NewReader(a.stdin)
	ask := func(what string) {
		if interactive {
			_ = a.printer.Printf("%s:\n", what)
		}
	}
	ask("compares")
	compares, err := section(in, parseCompare)
	if err != nil {
		return err
	}
	ask("success requests (get, put, del)")
	success, err := section(in, parseRequest)
	if err != nil {
		return err
	}
	ask("failure requests (get, put, del)")
	otherwise, err := section(in, parseRequest)
	if err != nil {
		return err
	}
	return a.callNow(func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
		response, err := c.Txn(ctx).If(compares...).Then(success...).Else(otherwise...).Commit()
		return answerOr(response, err, show.Txn)
	})
}

// section reads lines up to an empty one. An input that ends before is an error: half a transaction must not be carried out.
func section[T any](in *bufio.Reader, parse func(string) (T, error)) (all []T, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, failure{exitInvalidInput, err}
		}
		if line = strings.TrimSpace(line); line == "" {
			return all, nil
		}
		one, err := parse(line)
		if err != nil {
			return nil, orFailure(err, exitInvalidInput)
		}
		all = append(all, one)
	}
}
