package control

import (
	"iter"
	"net/http"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tombolo.io/tombolo/clustermesh"
)

// Sample is one value of a metric at the moment of a scrape. Packages count
// in their snapshots; only here do counts become metrics.
type Sample struct {
	// Name begins with tombolo_; that of a counter ends with _total.
	Name, Help string
	// Counter says that the value only grows.
	Counter bool
	Value   float64
	// Labels are names and values, one after the other; the same names for
	// every sample of a metric.
	Labels []string
}

// Samples returns the metrics of a role.
type Samples func() iter.Seq[Sample]

// Describe implements prometheus.Collector: which metrics come is not known
// before a scrape.
func (Samples) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s Samples) Collect(out chan<- prometheus.Metric) {
	for sample := range s() {
		out <- sample.metric()
	}
}

func (s Sample) metric() prometheus.Metric {
	var names, values []string
	for pair := range slices.Chunk(s.Labels, 2) {
		names, values = append(names, pair[0]), append(values, pair[len(pair)-1])
	}
	kind := prometheus.GaugeValue
	if s.Counter {
		kind = prometheus.CounterValue
	}
	desc := prometheus.NewDesc(s.Name, s.Help, names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, s.Value, values...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}

// metrics answers a scrape from a registry of the surface's own.
func (f Surface) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), Samples(f.own))
	if f.Samples != nil {
		r.MustRegister(f.Samples)
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// own are the metrics that every role has.
func (f Surface) own() iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		health, reasons := f.Health()
		all := []Sample{
			{Name: "tombolo_build_info", Help: "1, with what was built.", Value: 1,
				Labels: []string{"role", f.Role, "version", f.Version, "goversion", runtime.Version()}},
			{Name: "tombolo_ready", Help: "Whether the role does its work.", Value: truth(f.Ready() == nil)},
			{Name: "tombolo_reasons", Help: "Number of reasons why the health is not OK.", Value: float64(len(reasons))},
		}
		for _, h := range []clustermesh.Health{clustermesh.HealthOK, clustermesh.HealthDegraded, clustermesh.HealthStopped} {
			all = append(all, Sample{Name: "tombolo_health", Help: "1 for the state that the role is in.",
				Value: truth(h == health), Labels: []string{"state", string(h)}})
		}
		for _, s := range all {
			if !yield(s) {
				return
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
