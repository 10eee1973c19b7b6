#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Records of one partition reach each device in their order, whatever ways they
# take: to subscribers at once, through the log of a filter, to one client, and
# whether the device reads along or comes later.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

use constant { RECORDS => 3000, KEPT => 600 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('command', partitions => 1);

$t->write_conf(kafka => 1, workers => 2,
               server => 'mqtt_max_queued 100000;', gateway => <<"END");
    topic command kafka=$topic downlink;
END

$t->run;

ok($t->wait_total(kafka_partitions => 1, 20), 'assigned');

# its filter has a log from here on, others have none

my %live = (clean => 0, props => [ [ session_expiry => 600 ] ]);

my $reader = $t->client(client_id => 'reader', %live);
$reader->subscribe('command/logged/#' => 1);

my @persistent = ($reader);
my @clean = map { $t->client(client_id => "clean$_") } 1 .. 6;

for my $n (0 .. 1) {
    my $c = $t->client(client_id => "both$n", %live);

    $c->subscribe('command/logged/#' => 1, 'command/also/+' => 1);
    push @persistent, $c;
}

$_->subscribe('command/#' => 1) for @clean;

my $busy = grep { $_->{counters}{clients} }
           @{ $t->status->{gateways}{test}{workers} };

is($busy, 2, 'clients on both workers');

# every device gets a part of the numbers, in steps that grow

my @to = ((map { "/$_/x" } qw/ logged also direct logged direct direct /),
          (map { '/p2p/' . $_->client_id } @clean, @persistent));

my (%want, %got);

my @records = map {
    my $sub = $to[rand @to];

    note_wanted($_, $sub);

    { payload => $_, partition => 0,
      headers => [ [ mqttSecondTopic => $sub ] ] }
} 1 .. RECORDS;

$kafka->write($topic, @records);

my @all = (@clean, @persistent);

MqttTest::Client->pump(\@all, timeout => 60,
    on_packet => sub {
        my ($c, $packet) = @_;

        push @{ $got{$c->client_id} }, $packet->{payload}
            if $packet->{type} eq 'PUBLISH';
    },
    until => sub {
        !grep { @{ $got{$_->client_id} || [] }
                < @{ $want{$_->client_id} || [] } } @all;
    });

for my $c (@all) {
    my $id = $c->client_id;

    is(first_difference($got{$id}, $want{$id}), undef, "$id has all in order");
}

ok($t->wait_total(kafka_inflight => 0, 10), 'all are done');

###############################################################################
# one that comes later reads several logs and its inbox

my $sleeper = $t->client(client_id => 'sleeper', %live);

$sleeper->subscribe('command/logged/+' => 1, 'command/seldom/+' => 1,
                    'command/often/#' => 1);
$sleeper->disconnect;

ok((wait_for { $t->total('clients') == @all } 10), 'one sleeps');

my @ways = qw{ /logged/x /seldom/x /often/x/y /logged/y };

@records = map {
    my @headers = (rand 5 < 1)
                  ? ([ mqttSecondTopic => '/p2p/sleeper' ],
                     [ cleansessionflag => 'false' ])
                  : [ mqttSecondTopic => $ways[rand @ways] ];

    { payload => $_, partition => 0, headers => \@headers }
} 1 .. KEPT;

$kafka->write($topic, @records);

ok($t->wait_total(kafka_consumed => RECORDS + KEPT, 20), 'consumed');
ok($t->wait_total(kafka_inflight => 0, 10), 'and stored');

$sleeper = $t->client(client_id => 'sleeper', %live);

my @late;

while (@late < KEPT) {
    my $m = $sleeper->recv_message(20) or last;

    push @late, $m->{payload};
}

is(first_difference(\@late, [ 1 .. KEPT ]), undef,
   'it has all in order when it comes');

done_testing();

###############################################################################

sub note_wanted {
    my ($n, $sub) = @_;

    if ($sub =~ m{^/p2p/(.*)}) {
        push @{ $want{$1} }, $n;
        return;
    }

    push @{ $want{$_->client_id} }, $n for @clean;

    for my $c (@persistent) {
        push @{ $want{$c->client_id} }, $n
            if $sub =~ /logged/ || $sub =~ /also/ && $c->client_id =~ /both/;
    }
}


sub first_difference {
    my ($got, $want) = @_;

    $got ||= [];

    for my $i (0 .. (@$want > @$got ? $#$want : $#$got)) {
        my ($g, $w) = ($got->[$i] // 'nothing', $want->[$i] // 'nothing');

        return "$i: got $g instead of $w" if $g ne $w;
    }

    return undef;
}

###############################################################################
