//go:build !linux

package otlp

func closeRest() error { return nil }
