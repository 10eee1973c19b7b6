#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Kafka is down and 100 devices keep sending, far more than may wait: memory
# stays bounded, the sockets are not read, and when Kafka is back everything
# goes on by itself and is acknowledged.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 13;

use constant { DEVICES => 100, EACH => 60, SIZE => 4096, WORKERS => 2 };

use constant MB => 1024 * 1024;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('memory', partitions => 4);

$t->write_conf(kafka => 1, workers => WORKERS, gateway => <<"END");
    kafka_queue 256k;
    topic memory kafka=$topic uplink;
END

$t->run;

my @clients = map { $t->client(version => 4, client_id => "device-$_") }
              1 .. DEVICES;

my %publish = (topic => 'memory/x', payload => sub { 'x' x SIZE },
               window => EACH, timeout => 60);

# the first records bring what stays: buffers, connections, arenas

is(MqttTest::Client->publish_many(\@clients, %publish, count => 10),
   DEVICES * 10, 'before: all is acknowledged');

my @pids = $t->worker_pids;
my %before = map { $_ => $t->memory($_) } @pids;
my $pauses = $t->total('pauses');

my ($stage, $looked, $bytes_in, $status) = (0, now());

$kafka->pause;

MqttTest::Client->publish_many(\@clients, %publish, count => EACH,
    until => sub {
        return 0 if $stage > 1 || now() - $looked < 0.5;
        $looked = now();

        if ($stage == 0) {

            # two looks half a second apart give the same

            my $last = $bytes_in // -1;
            $bytes_in = $t->total('bytes_in');

            $stage = 1 if $t->total('clients_paused') == DEVICES
                          && $bytes_in == $last;

        } else {
            look();
            $kafka->resume;
            $stage = 2;
        }

        return 0;
    });

is($stage, 2, 'all of them were paused, then not read');

my $acked = 0;
$acked += @{ $_->acked } for @clients;

is($acked, DEVICES * EACH, 'afterwards all is acknowledged');
is($t->total('clients_paused'), 0, 'nobody is paused');
is($t->total('kafka_queue_bytes'), 0, 'no records wait');
is($t->total('messages_dropped') + $t->total('kafka_failed'), 0,
   'nothing was dropped or refused');

my $records = 0;
$records += $_->[1] for $kafka->offsets($topic);

is($records, DEVICES * (EACH + 10), 'each is in Kafka once');


sub look {
    my $queued = $t->total('kafka_queue_bytes');

    cmp_ok($queued, '>=', 0.9 * WORKERS * 256 * 1024, 'the bound is reached');
    cmp_ok($queued, '<', WORKERS * (256 * 1024 + 2 * SIZE),
           'and not passed by more than one record');

    is($t->total('bytes_in'), $bytes_in, 'the sockets are not read');
    ok($t->total('pauses') > $pauses, 'pauses are counted');

    cmp_ok($t->total('alloc_bytes'), '<', 3 * MB,
           'memory of the gateway is bounded');

  SKIP: {
        skip 'freed memory stays in quarantine', 1
            if MqttTest::version() =~ /-fsanitize/;

        my $grown = 0;
        $grown += $t->memory($_) - $before{$_} for @pids;

        cmp_ok($grown, '<', 8 * MB, 'and that of its processes');
    }
}

###############################################################################
