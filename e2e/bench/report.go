package main

import (
	"time"

	"tombolo.io/tombolo/e2e/figure"
)

// Report is where the benchmarks put their figures.
type Report = figure.Report

func median(values []time.Duration) time.Duration              { return figure.Median(values) }
func quantile(values []time.Duration, q float64) time.Duration { return figure.Quantile(values, q) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
