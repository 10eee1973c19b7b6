#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Members of a shared subscription die with their worker: what they had not
# acknowledged, what their worker had not read and what was not sent to it yet
# goes to members in other workers.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 4 + 3 + 4 + 4;

###############################################################################

my $t = MqttTest->new;

$t->allow_log(qr/worker in slot \d+ is gone, \d+ frames were dropped/);
$t->write_conf(workers => 3, zone => '8m',
               servers => spread_server(<<'END'));
        mqtt_send_window 8;
        mqtt_max_queued 10000;
        mqtt_max_queued_size 32m;
END
$t->run;

# sent and not acknowledged, waiting for the window

my ($from, $first, $second) = $t->worker_pids;

my $publisher = client_on($t, $from);
my $member = client_on($t, $first, auto_ack => 0);
my $other = client_on($t, $second);

$_->subscribe('$share/g/k' => 1) for $member, $other;

my $seen = publish(1);
my %got = collect(8, member => $member);

is(@{ $got{member} }, 8, 'a window full');

# one of them is acknowledged

my $acked = shift @{ $got{member} };

my $frames = $t->total('bus_frames_in');

$member->send(PUBACK => packet_id => $member->{got}[0]{packet_id});

ok((wait_for { $t->total('bus_frames_in') > $frames }),
   'one is acknowledged, and the publisher\'s worker told');

ok($t->kill_worker($first), 'killed');

my @missing = grep { $_ != $acked } missing(@$seen);

splice @{ $other->{got} };
collect(scalar @missing, other => $other);

is_deeply([ map { [ $_->{payload}, $_->{dup} ] } @{ $other->{got} } ],
          [ map { [ $_, 0 ] } @missing ],
          'what was not acknowledged, in order, as a first delivery');

# QoS 2: what was sent is nobody else's

($first) = grep { $_ != $from && $_ != $second } $t->worker_pids;

$member = client_on($t, $first, auto_ack => 0);
$_->unsubscribe('$share/g/k') for $other;
$_->subscribe('$share/g/k' => 2) for $member, $other;

# those that wait for the window of the one that does not answer

$seen = publish(2);
%got = collect(8, member => $member);

is(@{ $got{member} }, 8, 'QoS 2: a window full');
ok($t->kill_worker($first), 'QoS 2: killed');

@missing = missing(@$seen, @{ $got{member} });

my %rest = collect(scalar @missing, other => $other);
is(join(' ', @{ $rest{other} }), join(' ', @missing),
   'QoS 2: what was not sent');

# a worker that does not read, more than the socket takes

($first) = grep { $_ != $from && $_ != $second } $t->worker_pids;

$member = client_on($t, $first);
$_->unsubscribe('$share/g/k') for $other;
$_->subscribe('$share/g/k' => 1) for $member, $other;
splice @{ $other->{got} };

$publisher->publish_wait('k', 'first', qos => 1) for 1 .. 2;
collect(2, member => $member, other => $other);

kill 'STOP', $first;

my $big = 'x' x 100000;

my @numbers;

for (1 .. 100) {
    $publisher->publish_wait('k', sprintf('%03d', $_) . $big, qos => 1);

    my %new = collect(0, other => $other);
    push @numbers, @{ $new{other} };
}

my $before = @numbers;

ok($before >= 50 && $before <= 60,
   'not read: the other one has half of them') or diag($before);

ok($t->kill_worker($first), 'not read: killed');

%rest = collect(100 - $before, other => $other);

push @numbers, @{ $rest{other} };
$_ = substr $_, 0, 3 for @numbers;

is(join(' ', sort @numbers), join(' ', map { sprintf '%03d', $_ } 1 .. 100),
   'not read: all come');
is(join(' ', @numbers[$before .. $#numbers]),
   join(' ', sort @numbers[$before .. $#numbers]), 'not read: in order');

# under load, again and again; also the worker of some publishers

my @all = map { client_on($t, $from) } 1 .. 3;
my (%seen, %acked);
my $kills = 0;

for my $round (0 .. 2) {
    ($first) = grep { $_ != $from && $_ != $second } $t->worker_pids;

    my @members = map { client_on($t, $first) } 1 .. 2;

    $_->subscribe('$share/g/load' => 1) for @members, $round ? () : $other;

    my @publishers = (@all, client_on($t, $first));
    my ($killed, $count) = (0, 0);

    my %index = map { $publishers[$_] => $_ } 0 .. $#publishers;

    for my $p (@publishers) {
        $p->{pending} = {};
        $p->{n} = 0;
    }

    my $feed = sub {
        my ($p) = @_;

        while (!$p->{eof} && $p->{n} < 500 && keys %{ $p->{pending} } < 20) {
            my $payload = "$round $index{$p} " . $p->{n}++;
            my $id = $p->next_id;

            $p->{pending}{$id} = $payload;
            $p->queue(PUBLISH => topic => 'load', payload => $payload,
                      qos => 1, packet_id => $id);
        }
    };

    $feed->($_) for @publishers;

    MqttTest::Client->pump([ @publishers, @members, $other ], timeout => 30,
        until => sub {
            if (!$killed && $count > 300) {
                $killed = kill 'KILL', $first;
            }

            return $killed && !grep { $_->{n} < 500 || %{ $_->{pending} } }
                              grep { !$_->{eof} } @publishers;
        },
        on_packet => sub {
            my ($c, $p) = @_;

            if ($p->{type} eq 'PUBLISH') {
                $seen{$p->{payload}}++;
                return;
            }

            my $payload = delete $c->{pending}{$p->{packet_id} // 0};
            return if !defined $payload;

            # what the killed worker has acknowledged itself it may have given
            # to members of its own

            $acked{$payload} = 1 if $index{$c} < 3;
            $count++;
            $feed->($c);
        });

    $kills++ if $t->kill_worker($first);

    MqttTest::Client->pump([ $other, @members ],
        until => sub { !grep { !$seen{$_} } keys %acked },
        on_packet => sub {
            $seen{$_[1]{payload}}++ if $_[1]{type} eq 'PUBLISH';
        });
}

is($kills, 3, 'load: three times killed');
is(scalar(keys %acked), 4500, 'load: all were acknowledged');
is_deeply([ grep { !$seen{$_} } sort keys %acked ], [],
          'load: none is lost');

# a window of each member, and what its worker was about to tell

cmp_ok(scalar(grep { $_ > 1 } values %seen), '<=', 3 * 2 * 16,
       'load: only those under way come twice');

###############################################################################

# 20 messages, all others of which are acknowledged; what the other member got

sub publish {
    my ($qos) = @_;

    my @seen;

    for (1 .. 20) {
        $publisher->publish_wait('k', $_, qos => $qos);

        my %new = collect(0, other => $other);
        push @seen, @{ $new{other} };
    }

    return \@seen;
}


# of 20

sub missing {
    my %has = map { $_ => 1 } @_;

    return grep { !$has{$_} } 1 .. 20;
}

###############################################################################
