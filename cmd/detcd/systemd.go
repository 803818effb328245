package main

import "net"

// notifySystemd tells the service manager that clients are served, for units of Type=notify (see sd_notify(3)). socket is empty where
// nobody asks.
func notifySystemd(socket string) error {
	if socket == "" {
		return nil
	}
	// Go takes a leading @ for an abstract socket, as systemd writes it.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("READY=1"))
	return err
}
