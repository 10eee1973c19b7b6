#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Kafka stands still for 8 seconds under load: publishers are paused, QoS 0 is
# dropped over its bound and counted, everybody else is served; afterwards
# everything goes on by itself, nothing is lost, doubled or out of order.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 17;

use constant { DEVICES => 40, EACH => 150, QOS0 => 1000, STALL => 8 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('stall', partitions => 4);
my $topic0 = $kafka->topic('stall0');

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    kafka_queue 128k qos0=16k;
    topic stall kafka=$topic uplink;
    topic stall0 kafka=$topic0 uplink;
END

$t->run;

my @clients = map {
    $t->client(version => $_ % 2 ? 4 : 5, client_id => "device-$_")
} 1 .. DEVICES;

my $idle = $t->client(client_id => 'idle');
my $qos0 = $t->client(client_id => 'qos0');

# what happens while they publish, step by step

my ($stopped, $looked);
my $acked = sub { my $n = 0; $n += @{ $_->acked } for @clients; $n };

my @steps = (
    sub {
        return if $acked->() < DEVICES;

        $kafka->pause;
        $stopped = now();
    },
    sub {
        return if $looked && now() - $looked < 0.1;
        $looked = now();

        return $t->total('clients_paused') > 0;
    },
    sub {
        ok($t->total('pauses') > 0, 'publishers are paused');
        ok($t->total('kafka_queue_messages') > 0, 'records wait');

        $idle->expect_alive('a client that does not publish is served');

        my $new = $t->client(client_id => 'new');
        $new->expect_alive('and so is a new one');
        ok($new->publish_wait('stall-unmapped', 'x', qos => 1),
           'and an unmapped publish');
        $new->disconnect;

        MqttTest::Client->publish_many([ $qos0 ], count => QOS0, qos => 0,
                                       topic => 'stall0');
        $qos0->expect_alive('QoS 0 is dropped, its sender is not paused');
        ok($t->total('messages_dropped') > 0, 'and that is counted');
    },
    sub {
        return if now() - $stopped < STALL;

        cmp_ok($acked->(), '<=', $t->total('kafka_acked'),
               'nothing was acknowledged that Kafka does not have');
        ok($idle->is_alive, 'the idle client is still served');

        $kafka->resume;
    },
);

MqttTest::Client->publish_many(\@clients,
    count => EACH, topic => sub { "stall/$_[0]{client_id}" }, timeout => 40,
    until => sub { shift @steps if @steps && $steps[0]->(); 0 });

is(@steps, 0, 'all of this has happened');
is($acked->(), DEVICES * EACH, 'everything is acknowledged afterwards');

my @records = $kafka->records($topic, count => DEVICES * EACH);
my (%next, $wrong);

for my $r (@records) {
    $wrong++ if $r->{payload} ne ($next{$r->{key}}++ // 0);
}

is(@records, DEVICES * EACH, 'everything is in Kafka, once');
is($wrong, undef, 'in order');

my $dropped = $t->total('messages_dropped');

is(scalar $kafka->records($topic0, count => QOS0 - $dropped), QOS0 - $dropped,
   'QoS 0 that was not dropped is in Kafka');

is($t->total('clients_paused'), 0, 'nobody is paused any longer');
is($t->total('kafka_queue_messages'), 0, 'no records wait');
is($t->total('kafka_failed'), 0, 'none was refused');

###############################################################################
