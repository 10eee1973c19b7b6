#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# P2P: a message for one client that has subscribed to nothing, from Kafka and
# from devices, to a client of the same worker and of another one.

###############################################################################

use warnings;
use strict;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $down = $kafka->topic('command', partitions => 2);
my $both = $kafka->topic('chat');

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    topic command kafka=$down downlink;
    topic chat kafka=$both;
END

$t->run;

ok($t->wait_total(kafka_partitions => 3, 20), 'partitions are assigned');

# enough clients for both workers to have some

my @ids = map { my $s = $_; utf8::encode($s); $s }
          'plain', 'GID_cars@@@vin-001', 'with/a/slash', '/', 'a//b/',
          'ünïcödé', '車両/1', '-', map { "many-$_" } 1 .. 12;

my %c = map { $ids[$_] => $t->client(client_id => $ids[$_],
                                     version => $_ % 2 ? 5 : 4) }
        0 .. $#ids;

my @busy = grep { $_->{counters}{clients} }
           @{ $t->status->{gateways}{test}{workers} };

is(@busy, 2, 'both workers have clients');

###############################################################################
# from Kafka

for my $id (@ids) {
    my $c = $c{$id};

    $kafka->write($down, record("to $id", mqttSecondTopic => "/p2p/$id"));
    is_deeply(seen($c), [ "command/p2p/$id", "to $id", 1, 0 ], "to $id");

    $kafka->write($down, record('renamed', mqttSecondTopic => "p2p/$id",
                                mqttRealTopic => '/for/you', qoslevel => 2));
    is_deeply(seen($c), [ 'command/for/you', 'renamed', 2, 0 ], 'renamed');

    $kafka->write($down, record('whole', mqttSecondTopic => "/p2p/$id",
                                mqttRealTopic => 'x', qoslevel => 0));
    is_deeply(seen($c), [ 'x', 'whole', 0, 0 ], 'another topic');
}

# nobody else got anything

$_->expect_alive for values %c;

###############################################################################
# from devices, each to the next one

my @in_kafka;

for my $n (0 .. $#ids) {
    my ($from, $to) = @ids[$n, $n < $#ids ? $n + 1 : 0];

    for my $qos (0 .. 2) {
        my @publish = ("chat/p2p/$to", "from $from", qos => $qos);

        if ($qos) {
            my $answer = $c{$from}->publish_wait(@publish);
            is($answer && $answer->{reason} // 0, 0, "$from sends, QoS $qos");

        } else {
            $c{$from}->publish(@publish);
        }

        is_deeply(seen($c{$to}), [ "chat/p2p/$to", "from $from", $qos, 0 ],
                  "$to receives");
        push @in_kafka, "/p2p/$to";
    }
}

# they are in Kafka too, as chat is mapped both ways, and do not come back

my @records = $kafka->records($both, count => scalar @in_kafka);

is_deeply([ map { $_->{headers}[2][1] } @records ], \@in_kafka,
          'all in Kafka');
ok($t->wait_total(kafka_own => scalar @in_kafka, 10), 'and skipped');

$_->expect_alive for values %c;

###############################################################################
# a subscriber is no addressee, and the addressee needs no subscription

my $spy = $t->client(client_id => 'spy');
$spy->subscribe('#' => 2, 'chat/p2p/plain' => 2);

$c{plain}->subscribe('chat/p2p/+' => 1);
$spy->publish_wait('chat/p2p/plain', 'once', qos => 1);

is_deeply(seen($c{plain}), [ 'chat/p2p/plain', 'once', 1, 0 ],
          'to whom it is addressed');
$c{plain}->expect_alive;
$spy->expect_alive;

# topics that only look like it

for my $topic ('other/p2p/plain', 'chat/p2p', 'chat/p2p/', 'chat/x/p2p/plain',
               'command/p2px/plain')
{
    $spy->publish_wait($topic, $topic, qos => 1);
    is($spy->recv_message->{topic}, $topic, "$topic is an ordinary topic");
}

$c{plain}->expect(PUBLISH => topic => 'chat/p2p/');

# a topic that is mapped downwards only: not to Kafka, but to the client

is($spy->publish_wait('command/p2p/many-1', 'direct', qos => 1)->{reason}, 0,
   'not through Kafka');
is(seen($c{'many-1'})->[1], 'direct', 'and yet there');

###############################################################################
# to nobody

is($spy->publish_wait('chat/p2p/nobody', 'x', qos => 1)->{reason}, 0x10,
   'a client that is offline');
$spy->publish('chat/p2p/nobody', 'x', qos => 2, packet_id => 99);
$spy->expect(PUBREC => packet_id => 99, reason => 0x10);
$spy->send(PUBREL => packet_id => 99);
$spy->expect(PUBCOMP => packet_id => 99);

my $offline = $t->total('p2p_offline');

is($offline, 2, 'and counted');

$kafka->write($down, record('x', mqttSecondTopic => '/p2p/nobody'));
ok($t->wait_total(p2p_offline => 3, 10), 'from Kafka too');
ok($t->wait_total(kafka_inflight => 0, 10), 'the record is done');

# whose connection has just ended

$c{'many-2'}->disconnect;
ok($t->wait_total(clients => scalar(@ids), 5), 'one less');
is($spy->publish_wait('chat/p2p/many-2', 'x', qos => 1)->{reason}, 0x10,
   'a client that has left');

###############################################################################
# many to one, in order, while it moves between connections

my $last = -1;
my (@wrong, %seen);

for my $round (1 .. 5) {
    my $c = $t->client(client_id => 'mover');

    $kafka->write($down,
                  map { { %{ record($_, mqttSecondTopic => '/p2p/mover') },
                          partition => 1 } }
                      ($round - 1) * 50 .. $round * 50 - 1);

    while (my $m = $c->recv_message) {
        my $n = $m->{payload};

        push @wrong, "$n after $last" if $n != $last + 1;
        $last = $n;
        last if $n == $round * 50 - 1;
    }
}

is_deeply(\@wrong, [], 'all of them, in order, once');
is($last, 249, 'to the last one');

# two senders on both workers

my %order;
my ($one, $two) = @c{qw/ many-3 many-4 /};

MqttTest::Client->publish_many([ $one, $two ],
    count => 200, qos => 1, topic => 'chat/p2p/many-5',
    payload => sub { $_[0]->client_id . ":$_[1]" });

while (keys %order < 2 || grep { @$_ < 200 } values %order) {
    my $m = $c{'many-5'}->recv_message or last;
    my ($from, $n) = split /:/, $m->{payload};
    push @{ $order{$from} }, $n;
}

is_deeply($order{$_}, [ 0 .. 199 ], "$_ in order") for qw/ many-3 many-4 /;

# the first client of this id has gone when the second is there

is($t->total('p2p_offline'), 4, 'nobody was offline in between');

done_testing();

###############################################################################

sub record {
    my ($payload, @headers) = @_;
    my @pairs;

    push @pairs, [ splice @headers, 0, 2 ] while @headers;

    return { key => 'k', payload => $payload, headers => \@pairs };
}


sub seen {
    my ($c) = @_;

    my $m = $c->recv_message or return;

    return [ @$m{qw/ topic payload qos retain /} ];
}

###############################################################################
