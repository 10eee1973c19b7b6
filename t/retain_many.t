#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# 100,000 retained messages: a look-up costs what it finds, not what there is,
# counted in the commands that Redis runs.

###############################################################################

use warnings;
use strict;

use FindBin;
use IO::Socket::INET;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 30;

use constant { TOTAL => 100_000, READ => 10_000 };

###############################################################################

my $t = MqttTest->new;

$t->write_conf(server => 'mqtt_max_queued 10;');
$t->run;

# most of them under one child, a few others before and behind it

load(big => { map { ($_ => 'x') } map { "big/x/$_" } 1 .. TOTAL - 200 });
load(big => { map { ("big/$_/leaf" => $_) } 1 .. 100 });
load(big => { map { ("big/x$_" => $_) } 1 .. 100 });
load(end => { 'end' => 'end' });

is($t->redis->command('ZCARD', 'test:{r:big}t'), TOTAL, 'loaded');

my $s = $t->client(version => 5);

for my $case (

    # filter, messages, calls of the script, steps

    [ 'big/+',         100,  4,  40 ],
    [ 'big/+/leaf',    100,  4,  60 ],
    [ 'big/+/none/+',    0,  2,  60 ],
    [ 'big/x/5000',      1,  0,   0 ],
    [ 'big/y/#',         0,  1,   1 ],
    [ 'nothing/+',       0,  1,   1 ],
)
{
    my ($filter, $n, $pages, $steps) = @$case;

    my %calls = calls(sub { found($filter) });

    is($calls{found}, $n, "$filter: messages");
    cmp_ok($calls{evalsha} // 0, '<=', $pages, "$filter: pages");
    cmp_ok($calls{zrangebylex} // 0, '<=', $steps, "$filter: steps");
}

# a filter that has to look at every child does so in bounded steps

my %calls = calls(sub { found('big/x/+/none') });

is($calls{found}, 0, 'big/x/+/none: messages');
cmp_ok($calls{zrangebylex} / $calls{evalsha}, '<=', 32,
       'big/x/+/none: steps of one page');

# all of them, QoS 0 and 1, though only ten may be queued: every one arrives
# once, and whoever else is there is served in between

load(all => { map { ("all/$_" => $_) } 1 .. READ });

for my $qos (0, 1) {
    my $reader = $t->client(version => 4);
    my $other = $t->client(version => 4);
    my %seen;
    my $pings = 0;

    %calls = calls(sub {
        $reader->queue(SUBSCRIBE => packet_id => 1,
                       filters => [ [ 'all/#' => $qos ] ]);

        MqttTest::Client->pump(
            [ $reader, $other ], timeout => 60,
            until     => sub { keys %seen == READ },
            on_packet => sub {
                my ($client, $p) = @_;

                if ($client == $other) {
                    $pings++;
                    $other->queue('PINGREQ');

                } elsif ($p->{type} eq 'PUBLISH') {
                    $seen{$p->{topic}}++;
                    $other->queue('PINGREQ') if keys %seen == 1;
                }
            },
        );
    });

    is(keys %seen, READ, "QoS $qos: all messages");
    is((grep { $_ != 1 } values %seen), 0, "QoS $qos: once each");
    cmp_ok($calls{evalsha}, '>=', READ / 64, "QoS $qos: page by page");
    cmp_ok($pings, '>', 20, 'others are served meanwhile') if $qos;

    $_->disconnect for $reader, $other;
}

is($t->total('slow_clients'), 0, 'no client was too slow');
is($t->total('messages_out_dropped'), 0, 'no message was dropped');

###############################################################################

# commands about retained messages that Redis ran meanwhile

sub calls {
    my ($sub) = @_;

    my $monitor = IO::Socket::INET->new(PeerAddr => $t->redis->address)
        or die "cannot connect to Redis: $!";

    $monitor->print("MONITOR\r\n");
    $monitor->getline =~ /OK/ or die 'Redis is not monitored';

    my %calls = (found => $sub->());

    $t->redis->command('ECHO', 'that was all');

    while (defined(my $line = $monitor->getline)) {
        last if $line =~ /"that was all"/;

        $calls{lc $1}++ if $line =~ /^\S+ \[[^]]*\] "(\w+)".*\{r:/;
    }

    return %calls;
}


# how many messages the filter brings; that of "end" comes behind them

sub found {
    my ($filter) = @_;

    $s->subscribe($filter => 0, 'end' => 0);

    my $found = 0;

    while (my $m = $s->recv_message) {
        return $found if $m->{topic} eq 'end';
        $found++;
    }
}


sub load {
    my ($parent, $messages) = @_;

    my $redis = $t->redis->open_socket;
    my @topics = keys %$messages;
    my $sent = 0;

    while (my @chunk = splice @topics, 0, 1000) {
        my @hash = ('HSET', "test:{r:$parent}m", '', '11');
        my @set = ('ZADD', "test:{r:$parent}t");

        for my $topic (@chunk) {
            push @hash, $topic, message($topic, $messages->{$topic});
            push @set, 0, $topic =~ tr{/}{\0}r;
        }

        for my $command (\@hash, \@set) {
            print $redis '*' . @$command . "\r\n",
                  map { '$' . length($_) . "\r\n$_\r\n" } @$command;
            $sent++;
        }
    }

    $t->redis->read_reply($redis) for 1 .. $sent;
    $t->redis->command('ZADD', 'test:{r}p', 0, "$parent\0" . '1');
}


# docs/redis.md

sub message {
    my ($topic, $payload) = @_;

    return pack('N Q> N N4', 1, time() * 1000, 0, length $topic,
                length $payload, 0, 1)
           . $topic . $payload . 'o';
}

###############################################################################
