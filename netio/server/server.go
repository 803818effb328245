// Package server wires one member together for the real world: data directory, peer transport, driver and doors. It decides nothing of
// its own but the order in which these start and stop.
package server

import "context"

// Server is a running member.
type Server struct{ failed chan error }

// Start is replaced below.
func Start(cfg Config) (*Server, error) { return &Server{failed: make(chan error, 1)}, nil }

// Failed yields an error when the member can't go on.
func (s *Server) Failed() <-chan error { return s.failed }

// Close stops.
func (s *Server) Close(ctx context.Context) error { return nil }
