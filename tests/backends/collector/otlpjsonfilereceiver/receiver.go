// Package otlpjsonfilereceiver reads files of OTLP JSON, one object per line, as the collector's file exporter writes
// them. It stands in for the receiver of that name in the collector's contrib repository and takes the same keys; the
// file reader is the same, and only traces are read.
package otlpjsonfilereceiver

import (
	"context"
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"
	"go.uber.org/zap"
)

type config struct {
	fileconsumer.Config `mapstructure:",squash"`
	// StorageID names the extension that remembers how far each file was read.
	StorageID *component.ID `mapstructure:"storage"`
	// ReplayFile reads every file again at each poll.
	ReplayFile bool `mapstructure:"replay_file"`
}

// NewFactory is what the builder's main program calls.
func NewFactory() receiver.Factory {
	return xreceiver.NewFactory(
		component.MustNewType("otlp_json_file"),
		func() component.Config { return &config{Config: *fileconsumer.NewConfig()} },
		xreceiver.WithTraces(newTraces, component.StabilityLevelDevelopment),
		xreceiver.WithDeprecatedTypeAlias(component.MustNewType("otlpjsonfile")),
	)
}

type tracesReceiver struct {
	id        component.ID
	storageID *component.ID
	manager   *fileconsumer.Manager
	client    storage.Client
}

func newTraces(
	_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces,
) (receiver.Traces, error) {
	c := cfg.(*config)
	decoder := &ptrace.JSONUnmarshaler{}
	emit := func(ctx context.Context, lines [][]byte, _ map[string]any, _ int64, _ []int64) error {
		for _, line := range lines {
			traces, err := decoder.UnmarshalTraces(line)
			if err != nil {
				set.Logger.Error("not a line of OTLP JSON", zap.Error(err), zap.Int("bytes", len(line)))
				continue
			}
			if traces.ResourceSpans().Len() == 0 {
				continue // logs or metrics in the same file
			}
			if err = next.ConsumeTraces(ctx, traces); err != nil {
				set.Logger.Error("spans were refused", zap.Error(err), zap.Int("spans", traces.SpanCount()))
			}
		}
		return nil
	}
	var options []fileconsumer.Option
	if c.ReplayFile {
		options = append(options, fileconsumer.WithNoTracking())
	}
	manager, err := c.Build(set.TelemetrySettings, emit, options...)
	if err != nil {
		return nil, err
	}
	return &tracesReceiver{id: set.ID, storageID: c.StorageID, manager: manager}, nil
}

func (r *tracesReceiver) Start(ctx context.Context, host component.Host) error {
	r.client = storage.NewNopClient()
	if r.storageID != nil {
		extension, ok := host.GetExtensions()[*r.storageID].(storage.Extension)
		if !ok {
			return fmt.Errorf("no storage extension %q", r.storageID)
		}
		client, err := extension.GetClient(ctx, component.KindReceiver, r.id, "")
		if err != nil {
			return err
		}
		r.client = client
	}
	return r.manager.Start(r.client)
}

func (r *tracesReceiver) Shutdown(ctx context.Context) error {
	if r.client == nil {
		return nil // never started
	}
	if err := r.manager.Stop(); err != nil {
		return err
	}
	return r.client.Close(ctx)
}
