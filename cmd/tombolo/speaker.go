package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/bgp"
)

// newSpeaker is the role that advertises routes.
func newSpeaker() *cobra.Command {
	var cfg bgp.Config
	var store storeFlags
	var logs logFlags
	c := &cobra.Command{
		Use:   bgp.Role,
		Short: "Advertises pod CIDRs and LoadBalancer IPs to routers by BGP",
		Long: `Advertises pod CIDRs and LoadBalancer IPs to routers by BGP.

Which routers and what is advertised it reads from the cluster's etcd (BGPPeer,
BGPAdvertisement). A LoadBalancer IP is advertised while this node can serve it,
as the node's agent says, whose socket is in the same --run-dir.
What it advertises is also kept below --run-dir, so that a restart while etcd is
away withdraws nothing. A stop looks like a restart to the routers, which keep
the routes for the peers' restart time; --final withdraws them at once.`,
		Example: `  tombolo speaker --config /etc/tombolo/speaker.yaml --node-name $(hostname)
  tombolo speaker --node-name n1 --etcd-endpoints https://10.0.0.1:2379 \
    --tls-ca ca.crt --tls-cert node.crt --tls-key node.key
  tombolo speaker --print-config > speaker.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.logger(os.Stderr)
			if err != nil {
				return err
			}
			if cfg.Store, err = store.config(); err != nil {
				return err
			}
			cfg.Version = version
			if err := cfg.Validate(); err != nil {
				return err
			}
			return bgp.New(cfg, log).Run(c.Context())
		},
	}
	flags := c.Flags()
	flags.StringVar(&cfg.Node, "node-name", "", "name of the node that this speaker speaks for")
	flags.StringVar(&cfg.MetricsListen, "metrics-listen", "", "TCP address that serves /metrics, /healthz and /readyz besides the socket")
	flags.DurationVar(&cfg.GracefulShutdown, "graceful-shutdown", 5*time.Second, "how long routers are asked to prefer others (RFC 8326) before a drained node withdraws")
	flags.BoolVar(&cfg.Final, "final", false, "end the sessions with a Cease when stopped: the routers drop all routes at once")
	runDirFlag(flags, &cfg.RunDir)
	store.add(flags)
	logs.add(flags)
	return configurable(c)
}
