#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A record for a device at another node is not done before Redis has it for
# that node: a worker that is killed while Redis is away loses nothing.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Nodes;
use Test::More tests => 10;

use constant RECORDS => 20;

###############################################################################

my $kafka = MqttTest::Kafka->shared;
my $topic = $kafka->topic('command');

my @nodes = two_nodes(workers => 1, kafka => 1, gateway => <<"END");
    topic command kafka=$topic downlink;
    kafka_set group.id $topic;
    kafka_set auto.commit.interval.ms 10;
END

ok((wait_for { grep { $_->total('kafka_partitions') } @nodes } 20),
   'one of them consumes');

my ($from, $to) = sort { $b->total('kafka_partitions')
                         <=> $a->total('kafka_partitions') } @nodes;

my $here = $from->client(client_id => 'here');
my $there = $to->client(client_id => 'there');

$_->subscribe('command/#' => 1) for $here, $there;
wanted($from, $to, 'command/#');

$kafka->write($topic, { payload => 'before' });

is($_->recv_message->{payload}, 'before', 'before') for $here, $there;

ok((wait_for { ($kafka->committed($topic, $topic))[0] == 1 } 10),
   'it is committed');

$from->redis->pause;
ok($from->wait_total(redis_up => 0, 20), 'Redis does not answer');

$kafka->write($topic, map { { payload => $_ } } 1 .. RECORDS);

is($here->recv_message->{payload}, 1, 'who is here gets them');
ok($from->wait_total(kafka_consumed => 1 + RECORDS, 10), 'consumed');
ok(!(wait_for { ($kafka->committed($topic, $topic))[0] != 1 } 1),
   'nothing of it is committed');

my ($pid) = $from->worker_pids;

$from->kill_worker($pid);
$from->redis->resume;

my %got;

while (keys %got < RECORDS) {
    my $m = $there->recv_message(30) or last;

    $got{ $m->{payload} }++;
}

is(keys %got, RECORDS, 'who is there gets all of them');

ok((wait_for { ($kafka->committed($topic, $topic))[0] == 1 + RECORDS } 20),
   'and then they are committed');

###############################################################################
