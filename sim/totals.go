package sim

// Merge adds what other runs reached.
func (t *Totals) Merge(o Totals) {
	t.Runs += o.Runs
	t.Failed += o.Failed
	t.WithCrashes += o.WithCrashes
	t.WithPartitions += o.WithPartitions
	t.WithTornWrites += o.WithTornWrites
	t.WithInstalled += o.WithInstalled
	t.WithFull += o.WithFull
	t.Events += o.Events
	t.Ops += o.Ops
	t.SimulatedSeconds += o.SimulatedSeconds
	t.World.Add(o.World)
	t.Counts.add(o.Counts)
}
