#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Many records to many devices on two workers: each is delivered exactly once,
# in the order of its partition, and then committed.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 12;

use constant { RECORDS => 20000, DEVICES => 200, PARTITIONS => 4 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('command', partitions => PARTITIONS);

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    topic command kafka=$topic downlink;
    kafka_inflight 1m messages=100;
END

$t->run;

ok($t->wait_total(kafka_partitions => PARTITIONS, 20), 'assigned');

my (@device, %got, %twice, %wrong);
my $total = 0;

for my $n (0 .. DEVICES - 1) {
    my $c = $device[$n] = $t->client(client_id => "d$n",
                                     version => $n % 2 ? 4 : 5);
    $c->subscribe("command/d$n" => 1, 'command/all' => 1);
}

# each device in one partition, numbered; every 20th one to all of them

my @next = (0) x DEVICES;
my @records = map { my $n = $_ % DEVICES;
                    { payload => "$n:" . $next[$n]++,
                      partition => $n % PARTITIONS,
                      headers => [ [ mqttSecondTopic => "/d$n" ] ] } }
              0 .. RECORDS - 1;

$kafka->write($topic, @records);

my $counted = MqttTest::Client->pump(\@device, timeout => 60,
    until => sub { $total == RECORDS },
    on_packet => sub {
        my ($c, $packet) = @_;

        return if $packet->{type} ne 'PUBLISH';

        my ($n, $i) = split /:/, $packet->{payload};
        my $last = $got{$n} // -1;

        $total++;
        $twice{$n}++ if $i <= $last;
        $wrong{$n}++ if $i != $last + 1 || $c->client_id ne "d$n";
        $got{$n} = $i;
    });

ok($counted, 'all are delivered');
is($total, RECORDS, 'each of them once');
is(keys %twice, 0, 'none twice');
is(keys %wrong, 0, 'in order, and to whom they are for');

$_->expect_alive for @device[0, 1];

ok($t->wait_total(kafka_inflight => 0, 10), 'all are done');
is($t->total('kafka_consumed'), RECORDS, 'consumed once');

my $ends = join ' ', map { $_->[1] } $kafka->offsets($topic);

ok((wait_for {
    my $committed = join ' ', $kafka->committed($t->dir, $topic);

    $committed eq $ends;
} 10), 'committed while running');

ok($t->stop, 'stopped');
is(join(' ', $kafka->committed($t->dir, $topic)), $ends, 'committed');

###############################################################################
