#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Redis refuses to store what a record is about, as it is out of memory: the
# record waits and is not committed, and all is delivered in order when Redis
# has room again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 14;

use constant RECORDS => 40;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;
my $redis = $t->redis;

my $topic = $kafka->topic('command');

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    topic command kafka=$topic downlink;
    kafka_set auto.commit.interval.ms 10;
END

$t->run;

ok($t->wait_total(kafka_partitions => 1, 20), 'assigned');

my %session = (client_id => 'sleeper', clean => 0,
               props => [ [ session_expiry => 600 ] ]);

my $c = $t->client(%session);

$c->subscribe('command/log/+' => 1);
$c->disconnect;

my @awake = map { $t->client(client_id => "awake$_") } 1 .. 4;

$_->subscribe('command/log/#' => 1) for @awake;

for my $way (qw/ log kept /) {
    my @headers = ([ mqttSecondTopic => "/$way/x" ]);

    push @headers, [ mqttRetain => 'true' ] if $way eq 'kept';

    my ($before) = $kafka->committed($t->dir, $topic);

    $before = 0 if $before == -1;

    $redis->command(CONFIG => 'SET', 'maxmemory', 1);

    $kafka->write($topic, map { { payload => "$way $_",
                                  headers => \@headers } } 1 .. RECORDS);

    ok($t->wait_log(qr/could not be stored.*OOM/, 20), "$way: refused");
    ok(!(wait_for { $t->total('kafka_inflight') == 0 } 2), "$way: it waits");
    is_deeply([ map { $_ == -1 ? 0 : $_ }
                $kafka->committed($t->dir, $topic) ],
              [ $before ], "$way: nothing is committed");

    $redis->command(CONFIG => 'SET', 'maxmemory', 0);

    ok((wait_for { ($kafka->committed($t->dir, $topic))[0]
                   == $before + RECORDS } 20), "$way: then it is");
}

for my $c (@awake) {
    my @got = map { ($c->recv_message || {})->{payload} // '' } 1 .. RECORDS;

    is_deeply(\@got, [ map { "log $_" } 1 .. RECORDS ],
              $c->client_id . ' has all in order');
}

$c = $t->client(%session);

my @got = map { ($c->recv_message || {})->{payload} // '' } 1 .. RECORDS;

is_deeply(\@got, [ map { "log $_" } 1 .. RECORDS ],
          'and so has the one that slept');

###############################################################################
