#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# 10,000 publishes from 50 devices on two workers: each is in Kafka exactly
# once, those of a device in their order, and so are the acknowledgements.
# With QoS 1, then the same with QoS 2.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 2 * 8 + 2;

use constant { DEVICES => 50, EACH => 200 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my %topic = map { $_ => $kafka->topic("volume$_", partitions => 6) } 1, 2;

# a socket for each worker: both get clients

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END",
    topic volume1 kafka=$topic{1} uplink;
    topic volume2 kafka=$topic{2} uplink;
END
               servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_both%% reuseport;
        mqtt_pass test;
    }
END

$t->run;

my @clients = map {
    $t->client(port => 'both', version => $_ % 2 ? 4 : 5,
               client_id => "device-$_")
} 1 .. DEVICES;

my @workers = @{ $t->status->{gateways}{test}{workers} };

is(scalar(grep { $_->{counters}{clients} } @workers), 2,
   'both workers have clients');

for my $qos (1, 2) {
    my $acked = MqttTest::Client->publish_many(\@clients,
        count => EACH, qos => $qos, window => 20,
        topic => sub { "volume$qos/" . ($_[1] % 3) },
        payload => sub { "$_[1]:" . 'x' x ($_[1] * 7 % 300) });

    is($acked, DEVICES * EACH, "QoS $qos: all acknowledged");

    my $in_order = grep { "@{ $_->acked }" eq join ' ', 0 .. EACH - 1 }
                   @clients;
    is($in_order, DEVICES, "QoS $qos: acknowledged in publish order");

    my @records = $kafka->records($topic{$qos}, count => DEVICES * EACH);
    is(scalar @records, DEVICES * EACH, "QoS $qos: as many records");

    my (%partitions, %next, $wrong, $changed);

    for my $r (@records) {
        my $n = $next{$r->{key}}{n}++ // 0;

        $partitions{$r->{partition}}++;
        $changed++ if ($next{$r->{key}}{partition} //= $r->{partition})
                      != $r->{partition};
        $wrong++ if $r->{payload} ne "$n:" . 'x' x ($n * 7 % 300)
                    || $r->{headers}[0][1] ne $qos
                    || $r->{headers}[2][1] ne '/' . $n % 3
                    || $r->{headers}[3][1] ne $r->{key};
    }

    is($wrong, undef, "QoS $qos: exactly once, in order, with their headers");
    is($changed, undef, "QoS $qos: those of a device in one partition");
    is(scalar(grep { $_->{n} == EACH } values %next), DEVICES,
       "QoS $qos: from all devices");
    ok(keys %partitions > 3, "QoS $qos: in several partitions");
    is($t->total("messages_in_qos$qos"), DEVICES * EACH,
       "QoS $qos: and counted");
}

is($t->total('kafka_acked'), 2 * DEVICES * EACH, 'acknowledged by Kafka');

###############################################################################
