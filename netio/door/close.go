package door

import (
	"context"
	"time"
)

// takeTimeout is how long clients have, once all requests are answered, to take what is on its way to them: one that watches and does not
// read must not hold up the end of a member.
const takeTimeout = 200 * time.Millisecond

// Close stops taking requests, ends streams that would go on for ever, and lets requests under way finish until ctx is done; what is left
// then is cut off, and the error says so.
func (d *Door) Close(ctx context.Context) error {
	d.web.End()
	d.services.EndStreams()
	d.mu.Lock()
	splitters := d.splitters
	d.mu.Unlock()
	for _, s := range splitters {
		_ = s.Close()
	}
	patient, cancel := d.untilAnswered(ctx)
	defer cancel()
	// HTTP first: the gateway's requests need gRPC.
	d.web.Close(patient)
	var err error
	if !d.services.Close(patient) {
		err = ctx.Err()
	}
	_ = d.pipe.Close()
	d.serving.Wait()
	return err
}

// untilAnswered is a context that ends with ctx, or when clients have had their time since all requests were answered.
func (d *Door) untilAnswered(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for since := time.Now(); time.Since(since) < takeTimeout; {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
			if d.services.UnderWay() > 0 {
				since = time.Now()
			}
		}
	}()
	return ctx, cancel
}
