#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The gateway is killed, master and workers, while Kafka stands still and
# clients publish: whatever was acknowledged is in Kafka.  After a restart the
# devices send the rest again, and then all is there, in order.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 2 * 9;

use constant { DEVICES => 20, EACH => 100 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my %topic = map { $_ => $kafka->topic("killed$_", partitions => 3) } 1, 2;

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    topic killed1 kafka=$topic{1} uplink;
    topic killed2 kafka=$topic{2} uplink;
END

$t->run;

for my $qos (1, 2) {
    my @clients = devices($qos);
    my ($stopped, $killed);
    my $looked = 0;

    MqttTest::Client->publish_many(\@clients,
        count => EACH, qos => $qos, topic => "killed$qos",
        until => sub {
            return 0 if $killed;

            if (!$stopped) {
                $kafka->pause if $stopped = acked(@clients) >= DEVICES;

            } elsif (now() - $looked > 0.05) {
                $looked = now();

                # all that is not acknowledged waits for Kafka

                my $waiting = MqttTest::Client->unanswered(\@clients);

                if ($waiting == $t->total('kafka_queue_messages')) {
                    cmp_ok($waiting, '>', 0, "QoS $qos: records wait");
                    ok($t->kill_hard, "QoS $qos: gateway killed");
                    $killed = 1;
                }
            }

            return 0;
        });

    $kafka->resume;

    my $acked = acked(@clients);

    ok($killed, "QoS $qos: meanwhile");
    cmp_ok($acked, '<', DEVICES * EACH, "QoS $qos: not all acknowledged");

    my %there = seen($qos);
    my @missing = grep { my $c = $_;
                         grep { !$there{$c->client_id}{$_} } @{ $c->acked } }
                  @clients;

    is(@missing, 0, "QoS $qos: what was acknowledged is in Kafka");

    # the rest is sent again

    $t->run;

    my %from = map { $_->client_id => scalar @{ $_->acked } } @clients;
    my @again = devices($qos);

    MqttTest::Client->publish_many(\@again,
        count => EACH, qos => $qos, topic => "killed$qos",
        payload => sub {
            my ($c, $n) = @_;

            # at the end something is sent twice: also counts of those differ

            $n += $from{$c->client_id};
            return $n < EACH ? $n : EACH - 1;
        });

    is(acked(@again), DEVICES * EACH, "QoS $qos: acknowledged, restarted");

    my %seen = seen($qos);
    my @complete = grep { keys %$_ == EACH } values %seen;
    my @in_order = grep { my $at = $_;
                          !grep { $at->{$_} < $at->{$_ - 1} } 1 .. EACH - 1 }
                   @complete;

    is(keys %seen, DEVICES, "QoS $qos: records of all devices");
    is(@complete, DEVICES, "QoS $qos: all their messages are in Kafka");
    is(@in_order, DEVICES, "QoS $qos: in order");

    $_->disconnect for @again;
}


sub devices {
    my ($qos) = @_;

    return map {
        $t->client(version => $_ % 2 ? 4 : 5, client_id => "$qos-$_")
    } 1 .. DEVICES;
}


sub acked {
    my $n = 0;

    $n += @{ $_->acked } for @_;

    return $n;
}


# { device => { number => where it is for the first time } }

sub seen {
    my ($qos) = @_;

    my (%seen, $i);

    for my $r ($kafka->records($topic{$qos})) {
        $seen{$r->{key}}{$r->{payload}} //= ++$i;
    }

    return %seen;
}

###############################################################################
