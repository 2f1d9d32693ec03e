package main

import (
	"cmp"
	"time"

	"tombolo.io/tombolo/e2e/figure"
)

// Report is where the benchmarks put their figures.
type Report = figure.Report

func median[T cmp.Ordered](values []T) T              { return figure.Median(values) }
func quantile[T cmp.Ordered](values []T, q float64) T { return figure.Quantile(values, q) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
