#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Wills: when they are published and when they are not (3.1.2.5), by the end of
# the connection; what they carry; to subscribers at the same worker and at
# another one.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers qw/ socket_on client_on /;
use Test::More tests => 65;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_spread%% reuseport;
        mqtt_pass test;
        mqtt_max_topic_length 20;
        mqtt_max_topic_levels 4;
    }
END

$t->run;

my @worker = $t->worker_pids;
my @subscriber = map { on($_, version => 5) } 0, 1;

$_->subscribe('will/#' => 2) for @subscriber;

my $number = 0;
my @published;

# [ name, versions, whether the will is published, how it ends, CONNECT ]

my @ends = (
    [ 'a connection that is closed', [ 3, 4, 5 ], 1, sub { $_[0]->close } ],
    [ 'a connection that is reset', [ 4, 5 ], 1, sub { $_[0]->abort } ],
    [ 'DISCONNECT', [ 3, 4, 5 ], 0, sub { $_[0]->disconnect } ],
    [ 'DISCONNECT with 0x04', [ 5 ], 1,
      sub { $_[0]->disconnect(reason => 4) } ],
    [ 'DISCONNECT with 0x81', [ 5 ], 1,
      sub { $_[0]->disconnect(reason => 0x81) } ],
    [ 'a malformed packet', [ 4, 5 ], 1,
      sub { $_[0]->send_raw("\xf7\x00") } ],
    [ 'a second CONNECT', [ 4, 5 ], 1,
      sub { $_[0]->send(CONNECT => client_id => 'x') } ],
    [ 'keep-alive', [ 4, 5 ], 1, sub { }, keep_alive => 1 ],
);

for my $i (0, 1) {
    my $where = $i ? 'another worker' : 'the same worker';

    for my $end (@ends) {
        my ($name, $versions, $is_published, $how, @connect) = @$end;

        for my $version (@$versions) {
            my $c = on($i, version => $version, @connect, will => will());

            $how->($c);
            next_is($is_published, "$where: $name, version $version");
        }
    }

    # not accepted: there is no connection to lose

    my $c = raw($i, version => 4);

    $t->redis->pause;
    $c->send(CONNECT => client_id => 'never', will => will());
    is($c->recv(0.2), undef, "$where: CONNECT waits");
    $c->close;
    $t->redis->resume;

    next_is(0, "$where: who was not accepted has no will");

    # QoS and RETAIN

    for my $qos (0 .. 2) {
        my $c = on($i, version => $qos ? 5 : 4,
                   will => { %{ will() }, qos => $qos, retain => $qos == 2 });
        $c->close;
        push @published, "will $number";

        my $m = $subscriber[0]->recv_message;
        is("$m->{qos} $m->{retain} $m->{payload}", "$qos 0 will $number",
           "$where: QoS $qos");
    }

    my $s = on($i, version => 5);
    $s->subscribe("will/$number" => 1);
    my $m = $s->recv_message;
    is("$m->{qos} $m->{retain} $m->{payload}", "1 1 will $number",
       "$where: a will with RETAIN is retained");
    $s->disconnect;

    is_deeply([ map { $subscriber[1]->recv_message->{payload} } @published ],
              \@published, "$where: the other subscriber got the same");
    @published = ();
}

# properties

my @props = ([ payload_format => 1 ], [ message_expiry => 100 ],
             [ content_type => 'text/plain' ], [ response_topic => 'r/t' ],
             [ correlation_data => "\0\1\2" ],
             [ user_property => 'a', 'b' ], [ user_property => 'a', 'c' ]);

my $c = on(1, will => { topic => 'will/props', payload => '', qos => 1,
                        props => [ [ will_delay => 0 ], @props ] });
$c->close;

my $m = $subscriber[0]->recv_message;
is($m->{payload}, '', 'an empty will');

my ($expiry) = grep { $_->[0] eq 'message_expiry' } @{ $m->{props} };
like($expiry->[1], qr/^(?:100|99)$/, 'its message expiry');
is_deeply([ others(@{ $m->{props} }) ], [ others(@props) ],
          'and all other properties');
$subscriber[1]->recv_message;

# a large one

$c = on(0, will => { topic => 'will/large', payload => 'x' x 60000 });
$c->close;
is(length $_->recv_message->{payload}, 60000, 'a large will')
    for @subscriber;

# what is refused at CONNECT

for my $topic ('a' x 21, 'a/b/c/d/e') {
    for my $version (4, 5) {
        my $c = raw(0, version => $version);
        my $connack = $c->connect(will => { topic => $topic });

        is($connack && $connack->{reason}, $version == 5 ? 0x90 : undef,
           "topic $topic, version $version");
        $c->expect_close;
    }
}

# the will of one connection is not that of the next

$c = on(0, client_id => 'again', version => 4, will => will());
$c->disconnect;
$c = on(0, client_id => 'again', version => 4);
$c->close;
next_is(0, 'a will ends with its connection');

# what is left in Redis

my @lists = grep { /\{w:/ } $t->redis->keys;
my %listed = map { $_ => 1 } map { @{ $t->redis->command('SMEMBERS', $_) } }
             @lists;

is_deeply([ sort keys %listed ], [ sort map { $_->client_id } @subscriber ],
          'the workers have those that are connected in their lists');
is_deeply([ $t->redis->keys('*{x}*') ], [], 'nothing is due');

$_->disconnect for @subscriber;

ok(wait_for { !$t->redis->keys('*{[^lnr]*') }, 'nothing is left without them')
    or diag(join ' ', $t->redis->keys('*{[^lnr]*'));

is($t->total('wills_published'), 2 * (13 + 3) + 2, 'all were counted');
is($t->total('wills_waiting'), 0, 'none waits');

###############################################################################

sub on  { return client_on($t, $worker[shift], @_) }
sub raw { return socket_on($t, $worker[shift], @_) }


sub will {
    $number++;

    return { topic => "will/$number", payload => "will $number", qos => 1 };
}


# The next message is the will, or one that is published when nothing of the
# session is left.

sub next_is {
    my ($is_published, $name) = @_;

    if (!$is_published) {
        wait_for {
            $t->redis->keys('*{c:*') == $t->total('clients');
        } or diag('sessions are left');

        $subscriber[0]->publish('will/none', "none $number");
    }

    my $text = $is_published ? "will $number" : "none $number";
    my $m = $subscriber[0]->recv_message;

    is($m && $m->{payload}, $text, $name);
    push @published, $text;
}


sub others {
    return sort map { "@$_" } grep { $_->[0] ne 'message_expiry' } @_;
}

###############################################################################
